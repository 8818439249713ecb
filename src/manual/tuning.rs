//! What adjusts itself, and the little that a user can help with.
//!
//! Windows, buffers and packet sizes need no flags ([`tuning`](crate::transport::tuning)). One thing is
//! the system's: the largest socket buffer. Linux gives 208 KiB by default, which is less than 2 ms of a
//! gigabit link. qft asks for more and, when it gets too little, names the `sysctl` line that helps.
//!
//! Whoever sends remembers the path: a client the paths to servers, in the file `paths` of its home, and a server the
//! paths to those clients that it let in, by their addresses, in `client_paths`. Rate and round trip are kept for a
//! day. The next job begins near them when the handshake's round trip fits, and at once as on any new path when it does
//! not or when packets of the first flight are lost ([`congestion`](crate::congestion)). Nothing is kept of
//! what a `--bwlimit` of the sender's own has slowed down, of `user@host` remotes, or by a server with `--no-auth`.
//!
//! A path that goes away costs nothing but the time that it is away: it is asked every second whether it is back, and at once
//! when this machine's routes or addresses change. After three seconds a second connection is made beside the silent one, to
//! whatever address the server's name has by then. The first that is heard goes on; a server that was started again,
//! or has moved, is so found without a wait for the idle timeout. It is one job to the server.
//!
//! At the end of a transfer over a far path that loses packets, and whenever little is sent there, what is sent leaves up
//! to four times, within half of what the path carries: nobody waits round trip after round trip for the last packets
//! (`transport/udp/duplicates`). A path without loss carries everything once.
//!
//! `--bwlimit` holds what is sent and received, over all connections of a server together. What comes from somebody who
//! was not let in spends nothing of it.
//!
//! A server with all places taken lets the next client wait: its command says so and goes on by itself, for as long as
//! `--timeout` allows. What all clients together take of a server's memory has a bound ([`limits`](super::limits)); one
//! client has most of it, and many have less each, down to chunks that are put together on disk.
//!
//! `--jobs` bounds the files whose content moves at the same time. One stream fills a link; more help with
//! many files of medium size. `--workers` on the server matters with many clients: each connection is driven
//! by one worker. `qft status` shows how many each has, and what every client's link does.
//!
//! A process that is stopped by a quota of processor time (of a container, of a service), or waits long for its turn on a
//! busy machine, fetches content every millisecond or two instead of being woken for each packet, which takes half of the
//! processor time: a tenth of a core receives 100 Mbit/s then. It begins when the first such stop is seen, and ends half a
//! minute after the last.
//!
//! `--no-sync` gives up durability for speed: a file is reported as done when it has its final name, and a
//! power cut can still lose it.
//!
//! What limits a path is a question of figures, and `qft doctor REMOTE` asks it: round trips, loss and throughput both
//! ways, buffers and processors on both ends. It names the limit, and the command that helps where one does.
//!
//! Content is hashed sixteen leaves at once in vector registers, after a self-test that each process makes of them
//! ([`digest`](crate::digest)). `qft doctor` says which instructions it uses. Where they fail the test, a note says so,
//! and leaves are hashed one at a time, as they are with `QFT_MD5=scalar` in the environment: the digests are the same,
//! at a tenth of the speed.
