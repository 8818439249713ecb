//! qft moves files between two machines over QUIC.

pub mod digest;
pub mod protocol;
pub mod storage;
pub mod transfer;
pub mod transport;
