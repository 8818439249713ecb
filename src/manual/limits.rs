//! What a peer can make this end hold or do, each with its bound, in one place.
//!
//! Three rules hold for all of them. A limit is shared: each key and each connection has a part, so that nobody takes what
//! the others need. It is given back when the connection ends, whatever is queued. And it costs no honest job: who meets one
//! waits, does with less, or is told to come again and does so by itself; only what no honest end does is a violation.
//!
//! # What a server holds
//! All in all less than 512 MiB, however many clients do their worst at once (with the number of clients that is the
//! default; one more takes [`FLOOR_BYTES`], [`WORDS_FLOOR_BYTES`], and what it may send before it is let in).
//!
//! | what | bound | who meets it | test |
//! |---|---|---|---|
//! | memory of all clients | [`MEMORY_BYTES`]; a connection at most three times, a key four times what it leaves | goes on with less | `chunks_begun_by_many_clients_take_no_more_than_the_server_has_for_all` |
//! | of it a connection has for certain | [`FLOOR_BYTES`] of content, [`WORDS_FLOOR_BYTES`] of messages | | `whatever_others_hold_each_has_its_floor` |
//! | chunks begun | [`BEGUN_BYTES_MAX`] a connection; in memory as long as there is some, else in their file | is written more slowly; beyond it a violation | `chunks_that_are_begun_and_not_completed_are_bounded` |
//! | chunks begun and left so | [`BEGUN_STILL_MAX`] | is closed (`Timeout`), resumes | `what_is_begun_and_not_gone_on_with_is_waited_for_and_then_not` |
//! | what a client may send unread | its part of [`WINDOWS_BYTES`], at most [`RECEIVE_WINDOW`] | sends more slowly | `what_was_promised_is_held_until_it_was_used` |
//! | the same before it is let in | [`RECEIVE_WINDOW_BEFORE_HELLO`]; in a crowd [`RECEIVE_WINDOW_IN_A_CROWD`] | waits for its welcome | `a_stranger_that_sends_right_away_is_refused_before_anything_is_read` |
//! | gaps between pieces of a chunk | one for [`PIECE_BYTES`], and [`PIECES_FREE`] | a violation | `every_packet_may_come_in_any_order_and_every_byte_may_not` |
//! | content in flight to a client | its share of the memory | is sent to more slowly | `who_waits_goes_on_when_something_was_given_back` |
//! | files on offer | [`HEADERS_AHEAD_MAX`] a connection, and [`OFFER_BYTES`] of its share each | is heard later; after [`HELD_FOR_MAX`] finishes what is begun and comes again with the rest (`GoAway`) | `who_offers_more_than_there_is_room_for_finishes_and_comes_again_with_the_rest` |
//! | the same, more than the protocol allows | [`HEADERS_AHEAD_MAX`] | a violation | `more_headers_than_may_be_ahead_are_a_violation` |
//! | offers given up at once | twice [`HEADERS_AHEAD_MAX`] that were not looked at | a violation | `offers_that_are_given_up_at_once_are_not_all_remembered` |
//! | answers that are not read | [`QUEUED_MESSAGES_MAX`], and its share of the memory | is closed | `a_peer_that_asks_on_and_on_without_reading_the_answers_is_shut_out` |
//! | digests of what a client has, before they are compared | its share of the memory | is heard later | `digests_that_wait_for_ours_are_bounded` |
//! | directories that get their time last | its share of the memory | the last ones keep their own time | `of_more_directories_than_there_is_room_for_the_last_keep_their_own_time` |
//! | open files | half of the process's; a connection at most three times what it leaves | waits for its own | `who_holds_many_files_open_leaves_some_to_the_others` |
//! | names of a list that are not looked for yet | [`NAMES_AHEAD_MAX`] messages, and its share of the memory | a violation | `a_list_that_does_not_wait_for_the_server_ends_the_connection` |
//! | threads that walk | one for each `Get`, one for each `List` or `Parts`, one of each a connection | a violation | `lists_do_not_take_a_thread_each` |
//!
//! # What a server does
//! | what | bound | who meets it | test |
//! |---|---|---|---|
//! | names that patterns stand for | [`MATCHES_MAX`] a request | hears of it (`Problem`) | `the_patterns_of_one_request_share_what_it_may_cost` |
//! | names that are looked at for them | [`VISITS_MAX`] a request, and none after the connection | hears of it | `a_thousand_patterns_over_thousands_of_files_end_with_their_connection` |
//! | patterns, their length | [`PATTERNS_MAX`], [`PATTERN_BYTES_MAX`] | a violation | `what_is_outside_a_limit_is_neither_taken_nor_sent` |
//! | handshakes | [`HANDSHAKES_A_SECOND`], after [`HANDSHAKES_AT_ONCE`]; [`KNOCKS_MAX`] wait, of one address [`KNOCKS_PER_ADDRESS_MAX`], one of each address in turn | waits, knocks again | `the_first_ones_do_not_wait_and_a_crowd_goes_on_at_the_rate` |
//! | strangers | [`STRANGERS_MAX`], of one address [`STRANGERS_PER_ADDRESS_MAX`]; the oldest goes | asks again | `silent_strangers_do_not_keep_a_client_out` |
//! | addresses that are not proven | [`PROOF_FROM`] | a round trip more | `forged_addresses_push_nobody_out` |
//! | strangers with room to send ahead | [`CROWD_FROM`] | waits for its welcome | `fifty_clients_at_once_from_one_address_all_finish` |
//! | clients inside | [`CLIENTS_MAX`] (`--max-clients`), of one address a [`ADDRESS_SHARE`]nd part, of one key a [`KEY_SHARE`]nd | waits for a place (`--timeout`) | `fifty_clients_at_once_from_one_address_all_finish` |
//! | clients that do nothing | [`IDLE_AFTER`], with a job that stands still [`STILL_AFTER`]; only where somebody waits | comes again | `a_client_that_does_nothing_gives_its_place_to_one_that_waits_for_it` |
//! | connections that nothing comes from | two seconds more than a keep-alive; only where the same client waits | has the other | `a_server_with_one_place_gives_it_to_the_second_connection_of_the_client_that_has_it` |
//! | packets of strangers under `--bwlimit` | spend nothing of it | | `a_flood_of_strangers_packets_spends_nothing_of_a_rate_limit` |
//! | a probe | [`PROBE_MILLIS_MAX`], [`PROBE_BYTES_MAX`] | is cut short | `a_probe_gets_no_more_time_than_there_is` |
//! | a message | [`FRAME_BYTES_MAX`] | a violation | `a_frame_that_claims_a_gigabyte_reserves_nothing` |
//!
//! What several clients do to the disk at the same time is shared there, connection by connection.

#[allow(unused_imports, reason = "the table links to them")]
use crate::protocol::{
    BEGUN_BYTES_MAX, FRAME_BYTES_MAX, HEADERS_AHEAD_MAX, NAMES_AHEAD_MAX, PATTERN_BYTES_MAX, PATTERNS_MAX,
    PROBE_BYTES_MAX, PROBE_MILLIS_MAX,
};
#[allow(unused_imports, reason = "the table links to them")]
use crate::server::limits::*;
#[allow(unused_imports, reason = "the table links to them")]
use crate::transport::tuning::{RECEIVE_WINDOW, RECEIVE_WINDOW_BEFORE_HELLO, RECEIVE_WINDOW_IN_A_CROWD};
