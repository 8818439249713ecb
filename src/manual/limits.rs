//! What a peer can make this end hold or do, each with its bound, in one place.
//!
//! Three rules hold for all of them. A limit is shared: each key and each connection has a part, so that nobody takes what
//! the others need. It is given back when the connection ends, whatever is queued. And it costs no honest job: who meets one
//! waits, does with less, or is told to come again and does so by itself; only what no honest end does is a violation.
//!
//! # What a server holds
//! All in all less than 512 MiB, however many clients do their worst at once (with the number of clients that is the
//! default; one more takes [`FLOOR_BYTES`], some times [`WORDS_FLOOR_BYTES`], and what it may send before it is let in): a test
//! adds it up.
//!
//! | what | bound | who meets it | test |
//! |---|---|---|---|
//! | memory of all clients | [`MEMORY_BYTES`]; a connection at most three times, a key four times what it leaves | goes on with less | `chunks_begun_by_many_clients_take_no_more_than_the_server_has_for_all` |
//! | of it a connection has for certain | [`FLOOR_BYTES`] of content, [`WORDS_FLOOR_BYTES`] of messages | | `whatever_others_hold_each_has_its_floor` |
//! | chunks begun | [`BEGUN_BYTES_MAX`] a connection; in memory as long as there is some, else in their file | is written more slowly; beyond it a violation | `chunks_that_are_begun_and_not_completed_are_bounded` |
//! | chunks begun and left so | [`BEGUN_STILL_MAX`] | is closed (`Timeout`), resumes | `what_is_begun_and_not_gone_on_with_is_waited_for_and_then_not` |
//! | what a client may send unread | its part of [`WINDOWS_BYTES`], at most [`RECEIVE_WINDOW`] | sends more slowly | `what_was_promised_is_held_until_it_was_used` |
//! | streams that a client may have open | its part of [`STREAMS_BYTES`], [`STREAM_BYTES`] each, at most [`STREAMS_MAX`] | opens them later | `streams_of_many_clients_take_no_more_than_the_server_has_for_all` |
//! | streams to a client that it does not end | [`STREAM_BYTES`] of its share each | is sent no more | `who_ends_no_streams_is_sent_no_more_of_them_than_there_is_room_for` |
//! | content that comes before the header of its stream | its share of the memory | is closed (`Busy`), comes again | `content_before_its_header_takes_no_more_than_the_share_of_its_connection` |
//! | content that was read and waits for the disk | the same part, and [`BEYOND_MAX`] | is read no further | `however_many_streams_there_are_a_disk_that_is_behind_is_not_overrun` |
//! | the same before it is let in | [`RECEIVE_WINDOW_BEFORE_HELLO`], [`STREAMS_BEFORE_HELLO`] | waits for its welcome | `a_stranger_has_few_streams_and_little_room_until_it_is_let_in` |
//! | the same in a crowd | [`RECEIVE_WINDOW_IN_A_CROWD`] | waits for its welcome | `a_stranger_in_a_crowd_has_less_room_until_it_is_let_in` |
//! | packets and pieces before it is let in | [`UNREAD_TIMES`] its window, a piece for [`UNREAD_PIECE_BYTES`] of that | is closed (`Busy`), comes again | `a_stranger_that_sends_crumbs_is_not_waited_for` |
//! | the same whenever something of it is not read | its window, and its share of the memory; [`NOTE_BYTES`] of that, for good, for each piece that is smaller | is closed (`Busy`), comes again | `crumbs_on_streams_that_nobody_reads_are_not_kept` |
//! | streams of which it does not say what they are for | as before it was let in, for ten seconds | is closed (`Timeout`) | `streams_that_no_push_follows_are_not_waited_for` |
//! | what goes ahead of the answers | [`EARLY_FILES_MAX`], [`EARLY_BYTES_MAX`] | a violation | `more_ahead_of_the_answers_than_a_job_may_have_is_a_violation` |
//! | gaps between pieces of a chunk | one for [`PIECE_BYTES`], and [`PIECES_FREE`] | a violation | `every_packet_may_come_in_any_order_and_every_byte_may_not` |
//! | ranges of a file after one was taken back | [`LATE_RANGES_MAX`] | a violation | `ranges_without_end_of_a_file_that_was_given_up_are_a_violation` |
//! | content in flight to a client | its share of the memory | is sent to more slowly | `who_gets_nothing_but_its_floor_is_sent_everything_still` |
//! | files on offer | [`HEADERS_AHEAD_MAX`] a connection, and [`OFFER_BYTES`] of its share each | is heard later; after [`HELD_FOR_MAX`] finishes what is begun and comes again with the rest (`GoAway`) | `who_offers_more_than_there_is_room_for_finishes_and_comes_again_with_the_rest` |
//! | the same, more than the protocol allows | [`HEADERS_AHEAD_MAX`] | a violation | `more_headers_than_may_be_ahead_are_a_violation` |
//! | offers given up at once | twice [`HEADERS_AHEAD_MAX`] that were not looked at | a violation | `offers_that_are_given_up_at_once_are_not_all_remembered` |
//! | files that changed and are to be offered again | its share of the memory, as with offers | comes again with the rest (`GoAway`) | `files_that_changed_and_are_not_offered_again_fill_the_room_for_offers` |
//! | files that change again and again after the end | each [`OFFERS_MAX`] offers, of [`EARLY_FILES_MAX`] | a violation | `a_file_that_changes_after_the_end_is_not_offered_for_ever` |
//! | answers that are not read | [`QUEUED_MESSAGES_MAX`], and its share of the memory | is closed | `a_peer_that_asks_on_and_on_without_reading_the_answers_is_shut_out` |
//! | digests of what a client has, before they are compared | its share of the memory | is heard later | `digests_that_wait_for_ours_are_bounded` |
//! | directories that get their time last | its share of the memory | the last ones keep their own time | `of_more_directories_than_there_is_room_for_the_last_keep_their_own_time` |
//! | directories whose names were looked after, which saves work | its share of the memory, of which nothing is certain | the work is done again | `of_directories_that_were_doubted_no_more_are_remembered_than_there_is_room_for` |
//! | names that a client has been offered, likewise | its share of the memory, likewise | may be offered one twice | `names_that_there_is_no_room_to_remember_are_offered_again` |
//! | names of a directory that are looked at or listed | its share of the memory | the directory is read once more for those that follow | `a_walk_through_more_names_than_there_is_room_for_takes_its_share_and_finds_all` |
//! | what its lines of filters are compiled to | its share of the memory | is closed (`Busy`), comes again | `filters_take_no_more_memory_than_is_counted_for_them` |
//! | names that a walk has found and that are not offered yet | [`FOUND_AHEAD`], [`FOUND_BYTES_AHEAD`] | the walk waits | `a_walk_is_no_more_bytes_ahead_than_there_is_room_for_and_ends_when_nobody_listens` |
//! | what the server's own user is told and has not read | [`NOTICES_KEPT`], [`NOTICE_BYTES_KEPT`] | the user is told how many are lost | `long_texts_wait_in_no_more_bytes_than_there_is_room_for_and_come_again_when_they_were_read` |
//! | jobs that wait to be written into the history | [`LINES_AHEAD_MAX`]; the rest is lost | the operator hears of it (`/metrics`) | `jobs_that_come_while_the_disk_hangs_are_bounded_and_counted` |
//! | the history on the disk | twice [`HISTORY_BYTES_MAX`] | the oldest jobs go | `the_history_takes_no_more_of_the_disk_than_it_may_and_the_newest_stay` |
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
//! | lines of filters, their length | [`FILTERS_MAX`], [`FILTER_BYTES_MAX`] | a violation | `what_is_outside_a_limit_is_neither_taken_nor_sent` |
//! | what one pattern costs | [`GLOB_BYTES_MAX`], [`GROUPS_MAX`] | hears of it | `a_pattern_that_cannot_be_matched_is_a_name_that_failed_and_no_more` |
//! | what one line of a filter costs | the same | hears of it | `a_filter_that_cannot_be_matched_is_said_and_no_more` |
//! | entries, digests, names of one message | [`ENTRIES_MAX`], [`HAVE_DIGESTS_MAX`], [`NAMES_MAX`] | a violation | `what_is_outside_a_limit_is_neither_taken_nor_sent` |
//! | a path, a link's target, a cause in words | [`PATH_BYTES_MAX`], [`LINK_BYTES_MAX`], [`DETAIL_BYTES_MAX`] | a violation | `what_is_outside_a_limit_is_neither_taken_nor_sent` |
//! | how deep a path leads | [`DEPTH_MAX`] | a violation | `names_that_break_a_rule_are_refused_by_that_rule` |
//! | handshakes | [`HANDSHAKES_A_SECOND`] while anybody is served, else [`HANDSHAKES_A_SECOND_AT_REST`], after [`HANDSHAKES_AT_ONCE`]; [`INCOMING_MAX`] wait, of one address [`INCOMING_PER_ADDRESS_MAX`], one of each address in turn | waits, asks again | `the_first_ones_do_not_wait_and_a_crowd_goes_on_at_the_rate` |
//! | strangers | [`PENDING_MAX`], of one address [`PENDING_PER_ADDRESS_MAX`]; the oldest goes, after [`PLACE_MIN`] | asks again | `silent_strangers_do_not_keep_a_client_out` |
//! | addresses that are not proven | [`PROOF_FROM`] | a round trip more | `forged_addresses_push_nobody_out` |
//! | strangers with room to send ahead | [`CROWD_FROM`] | waits for its welcome | `those_who_come_to_a_crowd_of_strangers_get_little_room_and_the_first_ones_do_not` |
//! | clients inside | [`CLIENTS_MAX`] (`--max-clients`), of one address a [`ADDRESS_SHARE`]nd part, of one key a [`KEY_SHARE`]nd | waits for a place (`--timeout`) | `places_are_counted_in_all_for_each_address_and_for_each_key_and_given_back` |
//! | clients that do nothing | [`IDLE_AFTER`]; only where somebody waits | comes again | `a_client_that_does_nothing_gives_its_place_to_one_that_waits_for_it` |
//! | clients whose job stands still | [`STILL_AFTER`]; only where somebody waits | comes again | `a_job_that_stands_still_is_patiently_waited_for_and_one_that_waits_for_us_longer` |
//! | connections that nothing comes from | two seconds more than a keep-alive; only where the same client waits | has the other | `a_server_with_one_place_gives_it_to_the_second_connection_of_the_client_that_has_it` |
//! | packets of strangers under `--bwlimit` | spend nothing of it | | `a_flood_of_strangers_packets_spends_nothing_of_a_rate_limit` |
//! | a probe | [`PROBE_MILLIS_MAX`], [`PROBE_BYTES_MAX`] | is cut short | `a_probe_gets_no_more_time_than_there_is` |
//! | an echo | [`PROBE_ECHO_BYTES_MAX`] | is cut short | `an_echo_returns_its_limit_and_not_a_byte_more` |
//! | a message | [`FRAME_BYTES_MAX`] | a violation | `a_frame_that_claims_a_gigabyte_reserves_nothing` |
//!
//! # What a client holds because of its server
//! A client calls the one server whose key it knows, and serves nobody else: its limits are there for a server that has
//! been broken into. Of a list without an end it says that it does not fit, of all else what it meets in the table.
//!
//! | what | bound | who meets it | test |
//! |---|---|---|---|
//! | content that is under way, chunks begun, streams, offers, answers that are not read, digests that wait for ours | a connection's share of [`CLIENT_MEMORY_BYTES`], as at a server | is closed (`Busy`), and the job ends | `an_end_of_its_own_takes_what_any_job_needs_and_its_peer_makes_it_hold_no_more` |
//! | the same, of an honest server | a small part of it | | `a_client_with_little_memory_gets_and_sends_what_it_wants` |
//! | what has come and is not read | the same share | is closed (`Busy`), and the job ends | `crumbs_that_a_client_does_not_read_are_not_kept_either` |
//! | streams to a client that only sends | none | opens none | `a_server_can_open_no_stream_to_a_client_that_sends` |
//! | directories that get their time last, or whose names were looked after | the same share | the last ones keep their own time, the work is done again | `of_directories_that_were_doubted_no_more_are_remembered_than_there_is_room_for` |
//! | names that the job has settled, over all connections | [`JOB_NAMES_MAX`], [`JOB_NAME_BYTES_MAX`] | counts again | `names_that_there_is_no_room_for_are_not_remembered_and_those_before_are` |
//! | names that the disk may take for one | [`TWIN_BYTES_MAX`] | the disk is asked | `what_is_remembered_of_one_job_is_bounded_in_bytes` |
//! | files that have begun over one connection and not ended over another | [`FILES_MOVING_MAX`] | counts as found, has no line | `of_files_that_begin_and_do_not_end_over_any_number_of_connections_some_are_remembered`, `files_that_begin_over_any_number_of_connections_and_do_not_end_are_not_all_kept` |
//! | events that nobody has heard yet | [`EVENT_BYTES_AHEAD`] | is not listened to | `a_peer_is_heard_no_further_while_too_much_of_what_it_said_waits_to_be_heard` |
//! | failures in a report | [`FAILURES_KEPT`]; the rest is counted | | `what_did_not_verify_is_named_behind_any_number_of_other_failures` |
//! | remarks | [`REMARKS_MAX`] a job | says no more | `remarks_beyond_what_a_job_may_have_are_left_out` |
//! | names of a listing, of unfinished files | [`LISTING_BYTES_MAX`] | the command fails | `a_listing_without_end_is_stopped_where_memory_would_be_short` |
//! | lines of ssh and of the log that wait for the terminal | some thousands; the rest is counted | | `a_terminal_that_is_held_costs_lines_and_their_number_is_told` |
//!
//! # What those who watch make it hold
//! Only with `--http`, and only those who reach that address; nothing of it is taken from clients.
//!
//! | what | bound | who meets it | test |
//! |---|---|---|---|
//! | connections | [`HTTP_CONNECTIONS_MAX`]; the oldest that has asked for nothing it may have goes | asks again | `ten_thousand_silent_connections_keep_no_scraper_out` |
//! | connections of one address | [`HTTP_CONNECTIONS_PER_ADDRESS_MAX`] | asks again | `a_crowd_of_silent_connections_does_not_keep_a_scraper_out` |
//! | the head of a request | [`HEAD_BYTES_MAX`] | is refused | `a_head_that_is_too_long_is_not_read_to_its_end` |
//! | its headers | [`HEADERS_MAX`] | is refused | `more_headers_than_a_browser_sends_are_refused` |
//! | time for a head | [`HEAD_WAIT`] | is closed | `who_sends_the_head_of_a_request_slowly_is_not_waited_for` |
//! | a body | none is read | is closed | `nothing_can_be_changed_and_a_body_is_not_read` |
//! | pages that are open | [`HTTP_PAGES_MAX`] | is refused, tries again | `more_pages_than_there_is_room_for_are_told_to_come_again` |
//! | clients that a page shows | [`HTTP_CLIENTS_SHOWN_MAX`]; the rest is counted | | `of_a_thousand_clients_those_are_shown_that_move_files` |
//! | time in which an answer is not read on | [`READER_WAIT`] | is closed | `a_reader_that_takes_nothing_is_given_up_and_one_that_takes_something_is_not` |
//!
//! What several clients do to the disk at the same time is shared there, connection by connection.

#[allow(unused_imports, reason = "the table links to them")]
use crate::client::limits::*;
#[allow(unused_imports, reason = "the table links to them")]
use crate::progress::{EVENT_BYTES_AHEAD, FAILURES_KEPT, FILES_MOVING_MAX};
#[allow(unused_imports, reason = "the table links to them")]
use crate::protocol::path::{DEPTH_MAX, PATH_BYTES_MAX};
#[allow(unused_imports, reason = "the table links to them")]
use crate::protocol::{
    BEGUN_BYTES_MAX, DETAIL_BYTES_MAX, EARLY_BYTES_MAX, EARLY_FILES_MAX, ENTRIES_MAX, FILTER_BYTES_MAX, FILTERS_MAX,
    FRAME_BYTES_MAX, HAVE_DIGESTS_MAX, HEADERS_AHEAD_MAX, LINK_BYTES_MAX, NAMES_AHEAD_MAX, NAMES_MAX, OFFERS_MAX,
    PATTERN_BYTES_MAX, PATTERNS_MAX, PROBE_BYTES_MAX, PROBE_ECHO_BYTES_MAX, PROBE_MILLIS_MAX, REMARKS_MAX,
};
#[allow(unused_imports, reason = "the table links to them")]
use crate::server::limits::*;
#[allow(unused_imports, reason = "the table links to them")]
use crate::transport::limits::{
    RECEIVE_WINDOW, RECEIVE_WINDOW_BEFORE_HELLO, RECEIVE_WINDOW_IN_A_CROWD, STREAMS_BEFORE_HELLO, STREAMS_MAX,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::budget::WORDS;
    use crate::session::unread::stranger_bytes;
    use crate::transport::limits::INCOMING_BYTES_TOTAL_MAX;

    /// The program with its threads and buffers, while nobody is connected.
    const PROGRAM_BYTES: usize = 16 << 20;
    /// The memory that a client has for certain, and what it holds that is not charged.
    const CLIENT_BYTES: usize = FLOOR_BYTES
        + WORDS * WORDS_FLOOR_BYTES
        + RECEIVE_WINDOW_BEFORE_HELLO as usize
        + STREAMS_BEFORE_HELLO as usize * STREAM_BYTES
        + BEYOND_MAX;
    const STRANGERS_BYTES: usize = INCOMING_BYTES_TOTAL_MAX as usize
        + CROWD_FROM * stranger_bytes(RECEIVE_WINDOW_BEFORE_HELLO)
        + (PENDING_MAX - CROWD_FROM) * stranger_bytes(RECEIVE_WINDOW_IN_A_CROWD);

    #[test]
    fn all_that_peers_can_make_a_server_hold_adds_up_to_what_is_promised() {
        let all = PROGRAM_BYTES + MEMORY_BYTES + CLIENTS_MAX * CLIENT_BYTES + STRANGERS_BYTES;
        assert!(all < 512 << 20, "{} MiB", all >> 20);
    }
}
