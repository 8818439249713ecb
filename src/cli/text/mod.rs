//! Texts for people: numbers, columns that line up, QR codes, command lines to paste, directions.

pub(super) mod paste;
pub(super) mod qr;
pub(super) mod size;
pub(super) mod table;
pub(super) mod verb;
