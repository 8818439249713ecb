//! Texts for people: numbers, columns that line up, QR codes, command lines to paste, directions.
//!
//! | file | holds |
//! |---|---|
//! | `size`, `table` | numbers of fixed width; columns that line up |
//! | `paste` | command lines, quoted for the shell |
//! | `qr` | a ticket as a QR code |
//! | `verb` | the direction of a job, in words |

pub(super) mod paste;
pub(super) mod qr;
pub(super) mod size;
pub(super) mod table;
pub(super) mod verb;
