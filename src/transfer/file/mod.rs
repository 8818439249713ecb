//! The rules of one file: what is asked for of it, which ranges carry it, when it is whole and right.
//!
//! | file | holds |
//! |---|---|
//! | `resume` | the decision on an offer: one table |
//! | `send` | which ranges are sent, which chunks differ, when the file is closed |
//! | `receive` | which ranges may come, and when the whole is right |

pub(crate) mod receive;
pub(crate) mod resume;
pub(crate) mod send;
#[cfg(test)]
mod tests;

pub(crate) use self::receive::ReceiveFile;
pub(crate) use self::send::SendFile;
