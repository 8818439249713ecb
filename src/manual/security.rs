//! What is protected, by what, and what is not.
//!
//! **Authenticity and secrecy come from TLS 1.3.** Both ends show a key; each pins the other's
//! ([`transport`](crate::transport)). The client checks the server's key inside the handshake, before it has
//! said anything: a server that is not known yet is looked at over a connection of its own, which ends before anybody
//! is asked. The server checks the client's before it reads anything but the greeting.
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
//! **The root is confined.** A name from a peer is parsed once into plain components, and opened beneath a directory that
//! is held open, without following a link: neither one that leads out nor one that stays inside, for that would make
//! another name of any place there. There is one way to a file for each kind of name ([`storage`](crate::storage)), and
//! none that follows links, so it does not matter when somebody exchanges a directory for one. What is sent is held to the
//! very directory that was named, once for all connections of a job. Only regular files and directories are created, and
//! links that stay inside (of what was asked for, at a client) where this end asked for them: `get --links`, a server
//! unless `--no-links`, never a drop box.
//! A client takes only names that it asked for, with a leading
//! dot only where the pattern has one, and none that its filters leave out. The contents of a directory (`dir/`) are all
//! that is in it, as our own server reads that: dotfiles too.
//!
//! One exception, where the receiving end is the user's own (`get`, `local:`, the far end of ssh): a link stands for the
//! directory that it leads to if it belongs to the user of the process, was there before the job, and leads further down
//! inside the destination, past no dotted name. A server does that with `--keep-dirlinks` only, and takes no links from
//! clients then. As with rsync's option of that name, links that an earlier `get --links` has brought are the user's: do
//! not get with `--links` from somebody whom you would not let choose where later files land.
//!
//! **Modes.** A copy gets the nine permission bits of its source, less the umask of the end that receives. Set-user-id,
//! set-group-id and sticky bits of a source are never taken over; those that a directory here has, or inherits, stay. A
//! directory that was there may become narrower and never wider, so no peer opens what its owner has shut. One that is
//! shut at both ends is opened, for its owner alone, while it is brought up to date.
//!
//! **Another user's files** are not continued: an unfinished file is used only if it belongs to whom the files belong
//! that are made beside it. Else whoever planted it could read what root receives, and change it after it was verified.
//!
//! **A second wall** is Landlock, where the kernel has it. A server confines itself, before its first thread, to its
//! directory, its home and the files that it was told of; a transfer confines the thread that its work is done below: a
//! get to its destination and its home, a send to what was named. What they need of the system is allowed to be read. A
//! mistake in the first wall then meets the kernel. What is missing of it is said with `-v`.
//!
//! **Names are escaped** before they reach a terminal or a log, and so is all else that others say: the reasons of closed
//! connections, names in certificates, what ssh and the far side write to standard error, lines of `QFT_LOG`. JSON carries
//! names exact and escapes in its own way what would move a cursor.
//!
//! **What others make us write** is bounded. Lines about failures, refusals and connections are limited for each client and
//! each address and in all, names in them are cut, and what is left out is counted and told. A reader of the log that
//! stops, a full disk or a closed pipe cost lines and never a transfer or a signal: a thread of its own writes what is in
//! a queue, and signals are caught on another that never writes.
//!
//! **A stranger** can make the server do a handshake and read one greeting, within ten seconds. What else it sends is
//! not read, and is never more than one and a third mebibytes. Of too many strangers at a time, in all or from one
//! address, the one that has waited longest loses its place: an honest handshake takes a round trip or two, so it gets
//! through while those who only hold places do not. When some wait, addresses must be proven first (QUIC's Retry), so
//! forged ones push nobody out. Handshakes are begun at a rate that leaves the processors to those who are inside, one of
//! each address in turn. Clients that were let in are counted apart (`--max-clients`), half of them from one address, half
//! with one key; who does nothing gives its place up when somebody waits for it. The numbers stand in
//! [`limits`](super::limits).
//!
//! **Through ssh** (`user@host:path`) trust is ssh's: the far end is started by it, for one run, as that account. Each
//! end makes a key for the run and learns the other's through the ssh channel, never from a command line; the far end
//! lets in nothing else, and ends with the ssh connection. It serves the smallest directory that holds what was named,
//! which the account could reach anyway. What the far side prints is escaped before it is shown.
//!
//! **The memory of paths** tells who was met where within a day: server names in `paths`, client addresses in
//! `client_paths`, both readable for their owner alone. Only a client that was let in and took mebibytes is remembered,
//! one entry for each address, 1024 of them, and nothing depends on an entry being right: the most that a wrong one
//! does is one flight of packets too many, to that address, by a server that has just seen the same round trip.
//!
//! **A CA** may vouch for either end instead of a pin: for the name that the server is called by, for the client that
//! calls. Chain, dates, purpose and name are judged by rustls; `certs/README.md` says when that is worth it.
//!
//! **Tokens** have at least 128 bits and never travel: a client proves that it has one by an HMAC over keying material
//! of the very connection, so that nobody can pass the proof on. A token enrols nobody. Who came by a token or a
//! certificate can be shut out all the same (`qft peers revoke FINGERPRINT`): `revoked_clients` wins over both, until the
//! key is put on the list or brings a new invite. On SIGHUP a server reads its token, its clients' CA and its certificate
//! again, and closes connections that rest on what was replaced; a certificate that ends while its client is connected
//! ends the connection.
//!
//! **An enrolled client** may do what its line in `authorized_clients` and the server's own options both allow: `ro`,
//! `wo`, `no-clobber`, `root=DIR`, `expires=DATE`. A line that is not understood lets nobody in. The list is looked at
//! again twice a second while clients are connected: who was taken off it, narrowed, or is past its time is closed.
//! While the list cannot be read (others may write to it, say) nobody new is let in; who is inside stays. What it can make
//! the server hold or do is bounded, for itself, for its key and for all clients together ([`limits`](super::limits)).
//!
//! **A client with a root** (`root=DIR`) is held to that directory as all are to the served one. It is opened without
//! links, so that no other client can put it somewhere else.
//!
//! **A drop box** (`--write-only`, `wo`) gives no names and no content. Its answers to offers would be an oracle too:
//! "same size and time" and digests of what exists say what is there. So to such a client every name looks free, and
//! every file is sent whole; only when it asks that nothing be replaced does it hear that a name is taken. A partial
//! upload is named after its key and continued by that key alone. What remains: whether a name exists can be found out,
//! and a file can be replaced unless `--no-clobber` (`no-clobber`) forbids it, which keeps directories as they are,
//! too.
//!
//! **Dotfiles at the top** of the served directory cannot be seen, read or written without `--hidden`, and no link leads
//! to them: whoever serves a home directory does not hand out `.ssh`. Further down they are files like others. The
//! directory with this installation's key is not served at all: one that lies in what clients can see is refused at the
//! start, whether it exists or not, and each directory that is looked up is compared with it, as an object. The token,
//! the private key and the ticket that a server is told of may not lie there either.
//!
//! **Invites** are 128 random bits, work once over all processes of the server's home, for 15 minutes unless it was
//! said otherwise, and are kept as hashes. Wrong ones end none, so strangers cannot take a way in from its bearer; an address
//! that brought three of them hears for a while, longer each time, only that it has to wait. A right one is honoured from
//! any address. On a command line they can be seen by other users of the
//! machine until they are used; `qft remote add NAME` asks for them instead.
//!
//! **What a server does** it tells through a socket in the home, to its own user and root: the socket is for its owner
//! alone, and the kernel says who asks. An asker says nothing, gets one answer within bounds of size and time, and keeps
//! neither a transfer nor another asker waiting. The answer has names, keys and addresses of clients and names of files,
//! and no ticket, token or private key.
//!
//! **Stateless resets** let a server that was started again end the connections of its predecessor. Their keys come from the
//! identity, the address that the server listens on and the name of its machine: two servers of one home cannot be used to
//! reset each other's connections.
//!
//! **Files of the home** are made for their owner alone. A key that others can read, and a list or a directory that
//! others can write to, are refused with the command that mends it. Root is as strict as sshd's `StrictModes`: it uses no
//! home, list, key or setting that belongs to another user, and none that such a user could exchange, be it by a link or
//! by a directory above.
//!
//! **A token or key that a command names** may lie anywhere and be a pipe. If others can read it, it is refused, unless
//! whoever can read it and whoever uses it are both unable to change that: on a read-only mount, below `/run/secrets` or
//! `/run/credentials`, or as root's file for a process that is not root's. Then it is used, with a note.
