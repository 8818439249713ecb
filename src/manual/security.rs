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
//! another name of any place there. There is one way to a file for each kind of name (`storage/root`), and
//! none that follows links, so it does not matter when somebody exchanges a directory for one. What is sent is held to the
//! very directory that was named, once for all connections of a job. Only regular files and directories are created, and
//! links that stay inside (of what was asked for, at a client) where this end asked for them: `get --links`, a server
//! unless `--no-links`, never a drop box. Whose own files are sent may say that links among them stand for what they lead
//! to, wherever that is (`send -L`); nobody can ask for that from afar.
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
//! get to its destination and its home, a send to what was named (with `-L` to all that its user may read), a listing to
//! its home. What they need of the system is allowed to be read. A mistake in the first wall then meets the kernel. What is
//! missing of it is said with `-v`.
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
//! **A stranger** can make the server do a handshake and read one greeting, within ten seconds. What else it sends is not
//! read, and is bounded with the packets that it comes in. Of too many strangers at a time, in all or from one address, the
//! one that has waited longest loses its place, after the time that an honest client needs for a handshake and its first
//! words: that one gets through while those who only hold places do not. When some wait, addresses must be proven first
//! (QUIC's Retry), so forged ones push nobody out. While a client is served, handshakes are begun at a rate that leaves the
//! processors to those who are inside, one of each address in turn. Clients that were let in are counted apart
//! (`--max-clients`), half of them from one address, half with one key; who does nothing gives its place up when somebody
//! waits for it. The numbers stand in [`limits`](super::limits).
//!
//! **Through ssh** (`user@host:path`) trust is ssh's: the far end is started by it, for one run, as that account. Each
//! end makes a key for the run and learns the other's through the ssh channel, never from a command line; the far end
//! lets in nothing else, and ends with its client: when the ssh connection is closed in order, at once; when that breaks,
//! with the client's own connection, or a bounded time after it was lost. It serves the smallest directory that holds what was named,
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
//! the server hold or do is bounded, for itself, for its key and for all clients together; so is what a
//! server can make its client hold ([`limits`](super::limits)).
//!
//! **A client with a root** (`root=DIR`) is held to that directory as all are to the served one. It is opened without
//! links, so that no other client can put it somewhere else.
//!
//! **A drop box** (`--write-only`, `wo`) gives no names and no content. Its answers to offers would be an oracle too:
//! "same size and time" and digests of what exists say what is there. So to such a client every name looks free, and
//! every file is sent whole; only when it asks that nothing be replaced does it hear that a name is taken. Of a file
//! that it has delivered itself since the server's start, and that nobody has changed since, it hears that it is there; the
//! same content from another client is no reason to say so, for contents can be guessed. A partial upload
//! is named after its key and continued by that key alone. What remains: whether a name exists can be found out, and a file
//! can be replaced unless `--no-clobber` (`no-clobber`) forbids it, which keeps directories as they are,
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
//!
//! # What was found, and what prevents it
//! An audit found these in an earlier version.
//!
//! | | finding | what prevents it | test |
//! |---|---|---|---|
//! | S1 | a server wrote beside what was asked for, through a link that it had sent first | links are taken only where this end asked for them; no received name passes through one | `a_server_makes_no_other_name_of_a_place_by_a_link` |
//! | S2 | links of one client led the root of another to dotfiles, and to the key | a client's root is opened without links | `a_clients_root_is_where_the_operator_said_whatever_others_have_put_there` |
//! | S3 | one request of a thousand patterns worked for minutes after its client had left | matches are handed on one by one; a request has one budget ([`limits`](super::limits)) | `a_thousand_patterns_over_thousands_of_files_end_with_their_connection` |
//! | S4 | sums over sparse files of 16 TiB kept everybody from being let in or shut out | long sums take turns on a thread of their own and end with their connection; admission has threads of its own | `sums_over_sparse_offers_keep_nobody_waiting` |
//! | S5 | the same sum at the sending end, on the thread that drives connections | it runs on a disk thread; digests of zeros take no room | `sums_over_sparse_files_that_are_got_keep_nobody_on_the_same_worker_waiting` |
//! | S6 | links were planted that led out of the tree | how deep a link lies is judged where it lies; a drop box takes none | `a_clients_link_is_made_where_it_belongs_and_is_no_way_for_names` |
//! | S7 | a server delivered dotfiles for `*` | one matcher for what we find and for what we take | `a_wildcard_means_no_dotfile_and_a_directory_means_all_that_is_in_it` |
//! | S8 | a directory that was exchanged for a link let a sender read outside of what was named | the named directory is held open; walked names are opened without links | `a_sender_sends_nothing_from_outside_of_what_was_named` |
//! | S9 | a receiver wrote through a link of another user | only links of the own user, older than the job, stand for directories | `a_client_writes_through_its_own_links_and_through_nobody_elses` |
//! | S10 | each connection had memory of its own, and each key many connections | one budget and one number of places for all, with a share for each key; a client has a budget, too | `chunks_begun_by_many_clients_take_no_more_than_the_server_has_for_all`, `an_end_of_its_own_takes_what_any_job_needs_and_its_peer_makes_it_hold_no_more` |
//! | S11 | thousands of small files held all descriptors | a budget of open files | `who_holds_many_files_open_leaves_some_to_the_others` |
//! | S12 | failures filled the log | limits for each client, each address and in all; the rest is counted | `a_client_that_fails_with_every_file_writes_a_short_log_and_hides_no_other` |
//! | S13 | modes of peers went past the umask, and opened directories | nine bits less the umask; a directory that was there only becomes narrower | `a_directory_that_was_there_is_never_opened_and_keeps_its_special_bits` |
//! | S14 | a broken log ended connections by a panic | a thread of its own writes, and drops what it cannot write | `a_server_whose_log_is_broken_serves_on` |
//! | S15 | strangers ended open invites | wrong invites end none | `guesses_end_no_invite_and_shut_out_nobody_behind_the_same_address` |
//! | S16 | a log that nobody read held up signals | signals are caught where nothing is written | `a_server_whose_log_nobody_reads_serves_on_and_hears_signals` |
//! | S17 | nested alternatives in a pattern panicked | one type of glob, bounded, whose errors are said | `a_pattern_that_cannot_be_matched_is_a_name_that_failed_and_no_more` |
//! | S18 | single bytes far apart took memory without bound | gaps are counted, and are a violation beyond what packets can make; what comes and is not read is charged | `single_bytes_with_gaps_between_them_are_a_violation`, `crumbs_on_streams_that_nobody_reads_are_not_kept`, `crumbs_that_a_client_does_not_read_are_not_kept_either` |
//! | S19 | a partial file of another user was continued by root | a part belongs to whom the files beside it belong | `root_continues_nothing_that_another_user_has_put_there` |
//! | S20 | root used lists of another user's home | as sshd's `StrictModes` | `root_uses_no_home_of_another_user` |
//! | S21 | thousands of taken names held up every commit | few looks find a free name; clients take turns | `the_first_free_number_is_found_with_few_looks_however_many_are_taken` |
//! | S22 | a disk that hangs blocked whoever came or left | the list is judged without a lock | `while_the_list_is_asked_clients_come_and_go` |
//! | S23 | a panic left a server that served nobody | it ends its connection, or the server, with a sentence | `a_panic_of_the_network_thread_ends_the_server_with_a_word` |
//! | S24 | who came by a token or certificate could not be shut out | `revoked_clients`; what a connection rests on is judged while it lives | `who_came_by_a_token_can_be_shut_out_for_good` |
//! | S25 | servers of one home reset each other's connections | the keys depend on the address | `only_the_same_server_started_again_resets_a_connection` |
//! | S26 | names that the disk takes for one were both called done | what a name leads to is compared by object, also while both are under way | `of_two_names_that_the_disk_takes_for_one_the_first_stays_whole_and_the_second_fails` |
//! | S27 | a file was skipped whose name a crash could still take away | a skip is as durable as a send | `a_skip_is_as_durable_as_a_send` |
//! | S28 | the far end of ssh wrote to the terminal | escaped from the first byte | `control_characters_do_not_reach_the_terminal_and_text_does` |
//! | S29 | strangers' packets spent the rate limit | only packets of those that were let in count | `a_flood_of_strangers_packets_spends_nothing_of_a_rate_limit` |
//! | S30 | offers that were taken back, and directories, were all remembered | both are counted in the budget | `of_more_directories_than_there_is_room_for_the_last_keep_their_own_time` |
//! | S31 | a hole was believed where the file system had content | a hole is believed only of file systems that are known to tell the truth, and only if the rest accounts for all the room that the file takes; else it is read | `what_is_called_a_hole_and_is_none_arrives_whole` |
//! | S32 | MD5 in lanes was unsafe code of an alpha | safe code, proven against `md-5` before its first use | `one_wrong_bit_in_one_lane_fails_the_self_test` |
//!
//! # What happened to others
//! | class | whom | what prevents it here | test |
//! |---|---|---|---|
//! | names that leave the destination | rsync CVE-2024-12087, croc, magic-wormhole, GSConnect, zrok CVE-2026-42275 | names are parsed once into plain components | `a_server_whose_names_leave_the_destination_is_left_with_a_violation` |
//! | a link first, then names below it | rsync CVE-2024-12088, rclone CVE-2026-54572, tar-rs | no name passes through a link | `a_receiving_server_writes_nowhere_but_where_it_was_told` |
//! | links that are exchanged in time | rsync CVE-2024-12747, CVE-2026-29518, CVE-2026-43619 | directories are held open; every call takes one component of one | `a_sending_client_reads_nothing_outside_of_what_was_named` |
//! | modes through a planted link | rclone CVE-2026-88016 | modes are set by descriptor | `nothing_outside_can_be_read_or_changed_whatever_the_code_does` |
//! | names that nobody asked for | scp CVE-2019-6111, libssh CVE-2026-0964, rsync CVE-2022-29154 | a client decides which names may come, by pattern and by filter | `a_server_sends_nothing_that_was_left_out` |
//! | names of partial files from a peer | Syncthing 3783, rsync CVE-2026-70460 | the suffix is reserved; a part is made anew or is ours | `whatever_was_planted_at_the_parts_name_is_not_followed` |
//! | set-user-id bits, wider modes | OpenSSH 10.3, curl CVE-2022-32207 | nine bits, less the umask | `the_umask_of_the_end_that_receives_holds_for_files_and_directories` |
//! | two names of one file | git CVE-2021-21300 | compared by object | `of_two_names_that_the_disk_takes_for_one_the_first_stays_whole_and_the_second_fails` |
//! | lengths that are believed | rsync CVE-2024-12084, Syncthing CVE-2021-21404 | a frame is bounded before it is read | `a_frame_that_claims_a_gigabyte_reserves_nothing` |
//! | a peer that sets our limits | rsync CVE-2026-70455, CVE-2026-70462 | what a peer asks for is cut to what we allow | `a_probe_gets_no_more_time_than_there_is` |
//! | greetings that never end | rsync CVE-2026-70464 | a deadline for each step | `a_hello_that_never_ends_is_cut_short` |
//! | reassembly without bound | RUSTSEC-2026-0185, quic-go CVE-2024-22189 | windows come from the budget; gaps are counted | `gaps_take_from_the_budget_and_give_it_back` |
//! | control without a password | rclone CVE-2026-41176 | a server takes nobody that it does not know; its socket is its user's alone | `an_open_server_stays_on_this_machine_unless_told_otherwise` |
//! | a server that nobody checks | rsync CVE-2026-70454 | each end pins the other before it says anything | `a_server_with_another_key_is_refused_before_anything_is_said_and_both_keys_are_named` |
//! | secrets on a command line | croc CVE-2023-43621 | tokens and keys are files or pipes; an invite works once | `a_secret_can_come_through_a_pipe` |
//! | escapes in names | croc CVE-2023-43620, scp CVE-2019-6109, Syncthing CVE-2022-46165 | everything that others say is escaped | `control_characters_do_not_reach_the_terminal_and_text_does` |
//! | dotfiles that come unasked | croc CVE-2023-43619 | a leading dot only where the pattern has one | `a_server_delivers_under_a_pattern_what_a_client_takes` |
//! | equal digests of different files | MD5 collisions | every digest is salted by the session | `another_salt_gives_other_digests` |
//! | collisions of clean-up | curl CVE-2022-27778 | only names of our own making are removed | `what_another_user_has_put_in_the_parts_place_is_neither_used_nor_harmed` |
