//! The library over UDP: servers, clients and hostile peers of one process, with real files and real packets; and the
//! corpus of the fuzz targets.
#![allow(unreachable_pub, reason = "a test program has no outside")]

mod corpus;
mod crowd;
mod descriptors;
mod duplicates;
mod early;
mod hostile;
mod location;
mod many;
mod memory;
mod modes;
mod offered;
mod paths;
mod pool;
mod rate;
mod resume;
mod retry;
mod standby;
mod status;
#[path = "../support/mod.rs"]
mod support;
mod transfer;
