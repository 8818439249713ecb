//! Why qft is built this way. Prose only; the facts are with the code that they are about.

pub mod design;
pub mod extending;
pub mod limits;
pub mod security;
pub mod tuning;
