//! How to add a message, an option, a store: three worked examples. The compiler asks for most of the steps; the rest is
//! said here.
//!
//! # A message
//! Say the receiver is to tell the sender that its disk is nearly full: `LowSpace { left: u64 }`.
//!
//! 1. **Its words**, in [`protocol`](crate::protocol): who says it, when, and what is a violation. Bounds of what it carries
//!    are constants there. An older peer must never see it, so it gets a bit in [`features`](crate::protocol::features):
//!    both sides say theirs in `Hello` and `Welcome`, and it is sent only where both have the bit.
//! 2. **Its type**: a struct in `protocol/message/`, and a variant *at the end* of
//!    [`Message`](crate::protocol::message::Message). The order is the wire format.
//! 3. The compiler now asks, in two places: `protocol/check.rs` (are its bounds kept?) and
//!    [`Spoken`](crate::protocol::message::Spoken) (who says it: here `ReceiverMessage::LowSpace`). The tests ask in two more:
//!    for its exact bytes, in `protocol/codec/tests/mod.rs`, and for its strategy, in `protocol/codec/tests/any.rs`, with which
//!    encoding, decoding and bounds are tested.
//! 4. Whoever hears it does not compile either until it does something: a
//!    [`ReceiverMessage`](crate::protocol::message::ReceiverMessage) is matched in `session/sender/mod.rs`, which feeds
//!    the sender's ledger. What it *means* for a job is decided there, in `transfer/job/offers`, without I/O: give the ledger a
//!    method `on_low_space`, let it answer with an action, and write its table test first. `session/sender` carries the
//!    action out. The loop of both ends, in `session/conversation.rs`, hands what is meant for no role to the end
//!    that this is: what a [`ClientMessage`](crate::protocol::message::ClientMessage) asks is matched in
//!    `server/conversation/mod.rs`, what a [`ServerMessage`](crate::protocol::message::ServerMessage) answers in `client/`.
//! 5. Whoever says it: where the receiver's ledger knows the fact, it answers with `AnswersAction::Say`; where
//!    `session/receiver` does, `driver.say(..)`. Both only if the peer has the feature.
//! 6. **Tests**: a peer that says it at a wrong time, or too often, or with wild numbers (`tests/library/hostile*`, by hand with
//!    `tests/support/peer.rs`), and one that knows nothing of it (`tests/library/offered.rs`).
//!
//! # An option
//! Say `qft send --newer DAY` is to leave out what is older.
//!
//! 1. `cli/args/transfer.rs`: a field with clap's attributes. Its doc comment is the help; `help_heading` says under which
//!    heading. Settings files, completions and man pages read clap's own definitions and need nothing.
//! 2. `cli/target/plan/send.rs`: the field becomes one of [`SendOptions`](crate::client::SendOptions), checked and
//!    resolved, so that no later step knows of clap. Contradictions are clap's `conflicts_with`, or a
//!    complaint here, with the remedy in it.
//! 3. `client/options.rs`: the field of the options, with its default and what it means to a caller of the library.
//!    `client/send.rs` has the options whole.
//! 4. Where it acts: which files are meant is `storage/walk`'s, what becomes of one that exists is
//!    `decide`'s in `transfer/file/resume/mod.rs`. If the far end has to know, it travels in
//!    [`Push`](crate::protocol::message::Push) or [`Select`](crate::protocol::message::Select), behind a feature: see above.
//! 5. `cli/args/hints/options.rs` if rsync, scp or rclone have another word for it. **Tests**: the plan, in
//!    `cli/target/plan/tests`; the program, in `tests/program/cli/`, by what a user sees.
//!
//! An option of `qft serve` goes from `cli/args/serve.rs` through `cli/commands/serve` and
//! [`ServerBuilder`](crate::server::ServerBuilder) to the server's `Config`, which travels whole to every thread.
//!
//! # A store
//! Say files are to go to a bucket.
//!
//! 1. `session` asks a store for little: look at a name, open a source, open a part, write at an offset, hash what is there,
//!    give parts their names, make a directory, a link, a time. That is five traits in `storage/store/mod.rs`; the disk implements
//!    them in `storage/store/disk.rs`, the tests' memory in `storage/testing/memory`. Errors say operation and path, and every
//!    name is a [`WirePath`](crate::protocol::path::WirePath). A session is compiled for each store: its `Driver`
//!    (`session/receiver/driver.rs`) and its sender name theirs.
//! 2. What a new store must keep, whatever it is made of: **a final name is absent, old or whole**, also after a crash;
//!    **what was answered is durable**; a part is written by one at a time and can be found again; a name never leads out
//!    of the root. What cannot be kept is not answered `Done`.
//! 3. Everything may block: it is called on the threads of a `Disk` (`storage/pool`), never on one that drives
//!    connections. A commit may answer late, from a thread of its own: a group that shares one round trip is cheap.
//! 4. **Tests**: the table of operations that the disk and the store in memory do alike (`storage/testing/memory/contract`)
//!    is the first test of another one. The simulator (`tests/sim`) runs whole jobs over stores, networks that are cut
//!    anywhere and ends that restart, and checks step 2 after each. A store that cannot be in memory gets a model there
//!    that fails as it does.
