//! The rules of one file: what is asked for of it, which ranges carry it, when it is whole and right.

pub mod receive;
pub mod resume;
pub mod send;
#[cfg(test)]
mod tests;

pub use self::receive::ReceiveFile;
pub use self::send::SendFile;
