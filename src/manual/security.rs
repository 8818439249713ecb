//! What is protected, by what, and what is not.
//!
//! **Authenticity and secrecy come from TLS 1.3.** Both ends show a key; each pins the other's
//! ([`transport`](crate::transport)). The client checks the server's key inside the handshake, before it has
//! said anything. The server checks the client's before it reads anything but the greeting.
//!
//! **What MD5 does here.** It finds corruption: a bad disk, bad memory, a bug. It decides which chunks of a
//! partial or older file are sent again. It does *not* protect against an attacker, and need not: nobody but
//! the two pinned ends can speak on the connection. One attack remains in principle: somebody who wrote both
//! the old file at the destination and the new one at the source could try to make them collide, so that a
//! comparison skips the new content. Each digest is therefore salted with bytes exported from the TLS
//! session (RFC 5705), which neither side chose alone and nobody knew before; collisions prepared in advance
//! do not survive that.
//!
//! **Skipping by size and time** reads nothing, as with rsync. `--checksum` compares contents.
//!
//! **The root is confined.** A name from a peer is parsed once into plain components; it is opened beneath a
//! directory that is held open, and a link that leaves that directory is refused. Only regular files,
//! directories and, where asked for, links that stay inside are created. Permission bits never include
//! set-user-id or set-group-id. A client takes only names that it asked for.
//!
//! **Names are escaped** before they reach a terminal or a log.
//!
//! **A stranger** can make the server do a handshake and read one greeting: one stream, one mebibyte, ten
//! seconds. **An enrolled client** is trusted with the served directory, within the server's mode
//! (`--read-only`, `--write-only`, `--no-clobber`); its memory use is bounded per connection.
//!
//! **Through ssh** (`user@host:path`) trust is ssh's: the far end is started by it, for one run, as that account. Each
//! end makes a key for the run and learns the other's through the ssh channel, never from a command line; the far end
//! lets in nothing else, and ends with the ssh connection. It serves the smallest directory that holds what was named,
//! which the account could reach anyway. What the far side prints is escaped before it is shown.
//!
//! **Invites** are 128 random bits, work once, for 15 minutes, and are kept as hashes. On a command line
//! they can be seen by other users of the machine until they are used.
