//! The rules of one file: what is asked for of it, which ranges carry it, when it is whole and right.

pub(crate) mod receive;
pub(crate) mod resume;
pub(crate) mod send;
#[cfg(test)]
mod tests;

pub(crate) use self::receive::ReceiveFile;
pub(crate) use self::send::SendFile;
