//! Decisions, and what was given up for them.
//!
//! **One stream a file.** Each file travels on its own QUIC stream over one connection, so a lost packet
//! holds up one file and not the others, and the control stream goes before them all. Headers run ahead of
//! content by thousands of files, answers stream back, and no file waits for a round trip of its own.
//!
//! **The first megabyte waits for no answer.** Whoever sends to a place mostly sends what is not there, so the starts of
//! the first files leave with their headers, a round trip early. Where they are there after all, a part of that megabyte
//! was sent in vain: as much as a new connection sends in its first round trip. Small files that go ahead whole are closed
//! ahead too, so a job of a few of them is over one round trip after the handshake: 20 files of 2 KB at 300 ms in 0.64 s
//! instead of 0.93.
//!
//! **Sender and receiver are roles, not ends.** `send` and `get` are the same code with the roles swapped;
//! every rule is written once and tested once.
//!
//! **Rules without I/O.** What may happen to a file is decided by three small machines
//! (`transfer/file`: `resume`, `SendFile`, `ReceiveFile`) that are fed messages and counts, and what may happen in a job by two
//! ledgers (`transfer/job`): which file is on offer, what may be said of it now, when all is settled, and what is known from
//! earlier connections. A ledger answers with actions, which `session` carries out. Bytes go past them, straight from the
//! disk to the stream and from the stream to the disk. The session's receiver, both ledgers, disks in memory that lose what
//! was not synced, and a network that is cut anywhere also run in one thread without a clock (`tests/sim/`), thousands of
//! jobs in each run of the tests.
//!
//! **Resume is optimistic and always verified.** A receiver with part of a file asks for the rest at once.
//! While that flows, both ends hash what was there, and only chunks that differ are sent again. There is no
//! journal that could lie after a crash, no hashing before the first byte, and a wrong guess costs one
//! chunk. An older version of a file is used the same way. What nobody continues lies there as `.NAME.qft-part`; a server
//! removes it when it was not written to for 30 days (`--keep-parts`), `qft parts --remove` whenever somebody wants it gone.
//!
//! **Done means durable.** A file gets its final name after its digest matched and its content was synced;
//! the receiver says so after the directory was synced too. Groups of files share these steps, which makes
//! durability nearly free for small files (`storage/commit`). What needed no content is as safe: before a
//! file is called unchanged, or its name taken, the names that lead to it are synced once a job, for whoever gave them may
//! have been killed before; and a content that was written minutes ago, by whomever, is written to the disk. Directories
//! get their times last, and those are synced before the job is called over. `tests/privileged/cuts.rs` takes the power
//! away after each call that changes the disk, in every kind of run, and looks.
//!
//! **A disk may be odd.** What ext4, XFS, btrfs and tmpfs promise is relied on; of others it is looked at. Where objects have
//! another number at every look, the kernel says where what is open lies. Where a leading dot is refused, a part is called
//! `NAME~uidN.qft-part.qft-part`. Where a rename spares nothing a name is reserved first, where it replaces nothing what has
//! the name is put aside, and where what is open gets no other name it is closed before. What was written and is not there,
//! however often the disk said that it was, fails its file. A server whose directory was moved, or has another disk mounted
//! on it, lets nobody in until it is started again: nobody would find what is delivered there.
//!
//! **The reader never waits for the disk.** Streams are read as packets come, in any order, and written by
//! offset. Ordered reads stall behind every lost packet, and on fast lossy links QUIC's reassembly gives the
//! connection up. When the disk falls behind, the peer is slowed down by flow control instead.
//!
//! **Threads.** The server's sockets, its workers (one single-threaded runtime each, every connection on the
//! worker with the fewest), and the disk threads are separate: a slow disk delays no packet, and hashing
//! never delays an acknowledgement. The disk threads serve the connections by turns, weighed by the time that each
//! one's work takes (`storage/pool`), and the committer does alike; what waits of a connection that is
//! over is not done. Who may come in, and who may not stay, is decided on threads of its own.
//!
//! **A sum over holes takes time, and gives way.** The root digest is an MD5 over all chunk digests, which has no way
//! around its input: a sparse file of 16 TiB is 256 MiB of digests, a third of a second, whether a byte of it was sent
//! or not. States of that sum could be kept where a file begins with holes, but one chunk of data in front makes them
//! useless, so nobody is spared anything by it. Instead such sums are made in steps, by one thread that the kernel runs
//! when no other wants the processor, each connection's in its turn, until the connection is over.
//!
//! **A fault inside is said.** A job on a disk thread that panics ends its connection, a commit that panics fails its
//! files, and where the network thread or a worker fails the server ends: it never lives on and serves nobody.
//!
//! **MD5, salted.** Every leaf of a digest starts with bytes that both ends derived from the TLS session, so
//! that prepared collisions are worth nothing. See [`security`](super::security). Leaves are hashed sixteen at once by a
//! compression function of our own, in safe code over a crate of vectors: the crates that do it by themselves are
//! assembly and `unsafe` code over what peers send ([`digest`](crate::digest)).
