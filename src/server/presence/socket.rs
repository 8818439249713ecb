//! The socket beside a sign: where it is, however long the name of the home.

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::MODE;

/// How the sockets' names end; before it stands the name of the sign.
pub(super) const SUFFIX: &str = ".sock";
/// Bytes of a socket's address, the closing zero among them (`sun_path` in unix(7)).
const ADDRESS_BYTES: usize = 108;

/// An address of a file in a directory that fits a socket's address.
#[derive(Debug)]
pub(super) struct Address {
    path: PathBuf,
    /// The path may lead through it.
    _dir: Option<OwnedFd>,
}

impl Address {
    /// The file's path; where that is too long, one through a descriptor of the directory, which needs `/proc`.
    pub(super) fn of(dir: &Path, name: &str) -> io::Result<Self> {
        let path = dir.join(name);
        if path.as_os_str().len() < ADDRESS_BYTES {
            return Ok(Self { path, _dir: None });
        }
        let dir = rustix::fs::open(dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let path = format!("/proc/self/fd/{}/{name}", dir.as_raw_fd()).into();
        Ok(Self { path, _dir: Some(dir) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Listens on the socket `name` in `dir`. It has that name only when nobody but the owner can connect.
pub(super) fn bind(dir: &Path, name: &str) -> io::Result<UnixListener> {
    let fresh = format!(".{name}.new");
    let fresh_path = dir.join(&fresh);
    drop(fs::remove_file(&fresh_path));
    let listener = UnixListener::bind(Address::of(dir, &fresh)?.path())?;
    listener.set_nonblocking(true)?;
    fs::set_permissions(&fresh_path, Permissions::from_mode(MODE))?;
    fs::rename(&fresh_path, dir.join(name))?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_socket_is_private_and_found_however_long_the_path() {
        let outer = tempfile::tempdir().unwrap();
        for dir in [outer.path().join("short"), outer.path().join("l".repeat(200)).join("m".repeat(200))] {
            fs::create_dir_all(&dir).unwrap();
            let listener = bind(&dir, "name.sock").unwrap();
            assert_eq!(fs::metadata(dir.join("name.sock")).unwrap().mode() & 0o7777, MODE);
            assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "nothing else is left");
            let address = Address::of(&dir, "name.sock").unwrap();
            let _asker = UnixStream::connect(address.path()).unwrap();
            listener.accept().unwrap();
        }
    }
}
