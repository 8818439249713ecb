//! Asking a running server what it does.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::timeout;

use super::Serving;
use super::socket::Address;

/// Longest wait for an answer. A server needs milliseconds, on a busy machine some more; one that is stopped says nothing.
const PATIENCE: Duration = Duration::from_secs(5);
/// Largest answer that is read.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// Bytes that are read at once.
const READ_BYTES: usize = 64 << 10;

/// Why a server that runs has not answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// It made no socket, or is of a version that makes none.
    #[error("it has no socket to be asked at")]
    NoSocket,
    /// The system gives no connection to it.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It takes too long.
    #[error("it has not answered within {} s; is it stopped?", PATIENCE.as_secs())]
    Silent,
    /// It says more than any server of this version would.
    #[error("its answer is too long")]
    TooLong,
}

/// Asks a server that runs with this home, and gives its answer.
///
/// # Errors
/// [`AskError`].
///
/// # Panics
/// Outside a tokio runtime.
pub(crate) async fn ask(home: &Path, serving: &Serving) -> Result<Vec<u8>, AskError> {
    timeout(PATIENCE, read(home, serving)).await.unwrap_or(Err(AskError::Silent))
}

async fn read(home: &Path, serving: &Serving) -> Result<Vec<u8>, AskError> {
    let address = Address::of(home, &serving.socket_name())?;
    let stream = UnixStream::connect(address.path()).await.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => AskError::NoSocket,
        _ => error.into(),
    })?;
    let (mut answer, mut buffer) = (Vec::new(), vec![0; READ_BYTES]);
    while answer.len() <= ANSWER_BYTES_MAX {
        stream.readable().await?;
        match stream.try_read(&mut buffer) {
            Ok(0) => return Ok(answer),
            Ok(count) => answer.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(AskError::TooLong)
}
