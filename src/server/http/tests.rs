use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::super::meter::{LabelValue as _, Limit};
use super::super::{Access as Clients, Server};
use super::*;
use crate::keys::Identity;

/// Far above what a loaded machine needs, so that only a hang reaches it.
const LONG: Duration = Duration::from_secs(60);

/// A server, and what it tells over HTTP with these waits.
fn watched(waits: HttpTimeouts) -> (tempfile::TempDir, Server, Http) {
    let place = tempfile::tempdir().unwrap();
    let identity = Identity::ephemeral().unwrap();
    let builder = Server::builder(place.path().join("served"), identity).access(Clients::Only(Vec::new()));
    let server = builder.start().unwrap();
    let options = HttpOptions { addr: ([127, 0, 0, 1], 0).into(), token: None };
    let http = Http::start_with(options, server.shared.clone(), waits).unwrap();
    (place, server, http)
}

fn connect(http: &Http) -> TcpStream {
    let stream = TcpStream::connect(http.addr()).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

/// All that is received until the other end closes; empty where it did so at once.
fn rest(mut stream: TcpStream) -> String {
    let mut all = Vec::new();
    // A connection that is closed with something unread is reset.
    let ended = stream.read_to_end(&mut all);
    assert!(ended.is_ok() || ended.is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock), "it stays open");
    String::from_utf8_lossy(&all).into_owned()
}

fn ask(http: &Http, head: &str) -> String {
    let mut stream = connect(http);
    stream.write_all(head.as_bytes()).unwrap();
    rest(stream)
}

fn is_healthy(http: &Http) {
    let answer = ask(http, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// Waits until a limit was met so often, and no more: the answer may be here before the count is made.
fn is_met(server: &Server, limit: Limit, count: u64) {
    let met = || {
        let limits = server.shared.meter.limits.look();
        limits.into_iter().find(|(name, _)| *name == limit.name()).expect("it is counted").1
    };
    let end = std::time::Instant::now() + LONG;
    while met() < count && std::time::Instant::now() < end {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(met(), count);
}

#[test]
fn a_head_that_is_too_long_is_not_read_to_its_end() {
    let (_place, server, http) = watched(HttpTimeouts::default());
    let long = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(2 * HEAD_BYTES_MAX));
    let mut stream = connect(&http);
    // It may be closed in the middle of this.
    let _ = stream.write_all(long.as_bytes());
    let answer = rest(stream);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    is_met(&server, Limit::HttpRequests, 1);
    is_healthy(&http);
}

#[test]
fn more_headers_than_a_browser_sends_are_refused() {
    let (_place, server, http) = watched(HttpTimeouts::default());
    let headers = |count: usize| (0..count).map(|n| format!("X-{n}: x\r\n")).collect::<String>();
    let head =
        |count| format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{}\r\n", headers(count));
    assert!(ask(&http, &head(HEADERS_MAX - 2)).starts_with("HTTP/1.1 200"));
    assert!(ask(&http, &head(HEADERS_MAX + 1)).starts_with("HTTP/1.1 431"));
    is_met(&server, Limit::HttpRequests, 1);
}

#[test]
fn who_sends_the_head_of_a_request_slowly_is_not_waited_for() {
    let (_place, server, http) = watched(HttpTimeouts { head: Duration::from_millis(300), ..HttpTimeouts::default() });
    let mut slow = connect(&http);
    // Never done, and never silent for long.
    let mut writes = 0;
    while slow.write_all(b"X").is_ok() {
        writes += 1;
        assert!(writes < 10_000, "it is waited for");
        std::thread::sleep(Duration::from_millis(10));
    }
    is_met(&server, Limit::HttpRequests, 1);
    is_healthy(&http);
}

#[test]
fn what_is_no_http_at_all_ends_the_connection_and_nothing_else() {
    let (_place, server, http) = watched(HttpTimeouts::default());
    for garbage in ["\0\0\0\0\0\0\0\0", "\r\n\r\n\r\n\r\nx\r\n\r\n", "GET\r\n\r\n", "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0"] {
        let answer = ask(&http, &format!("{garbage}\r\n\r\n"));
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{garbage:?}: {answer}");
    }
    is_met(&server, Limit::HttpRequests, 4);
    is_healthy(&http);
}

#[test]
fn a_crowd_of_silent_connections_does_not_keep_a_scraper_out() {
    let (_place, server, http) = watched(HttpTimeouts::default());
    let crowd: Vec<_> = (0..4 * HTTP_CONNECTIONS_MAX).map(|_| connect(&http)).collect();
    is_healthy(&http);
    // All of them are of one address.
    is_met(&server, Limit::HttpConnections, (4 * HTTP_CONNECTIONS_MAX - HTTP_CONNECTIONS_PER_ADDRESS_MAX + 1) as u64);
    drop(crowd);
    is_healthy(&http);
}

#[test]
fn nothing_can_be_changed_and_a_body_is_not_read() {
    let (_place, _server, http) = watched(HttpTimeouts::default());
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PROPFIND"] {
        let head = format!("{method} /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000\r\n\r\n");
        let answer = ask(&http, &head);
        assert!(answer.starts_with("HTTP/1.1 405"), "{method}: {answer}");
        assert!(answer.contains("\r\nallow: GET, HEAD\r\n"), "{answer}");
    }
}

#[test]
fn an_end_waits_for_nobody_who_watches() {
    let (_place, server, http) = watched(HttpTimeouts::default());
    let open = connect(&http);
    is_healthy(&http);
    drop(http);
    assert_eq!(rest(open), "");
    drop(server);
}

#[test]
fn an_ending_server_is_healthy_and_not_ready() {
    let (_place, server, http) = watched(HttpTimeouts::default());
    let status = |path: &str| {
        let answer = ask(&http, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"));
        answer.split(' ').nth(1).expect("a status").to_owned()
    };
    assert_eq!((&*status("/healthz"), &*status("/readyz")), ("200", "200"));
    server.handle().shutdown(LONG);
    assert_eq!((&*status("/healthz"), &*status("/readyz")), ("200", "503"));
    server.shared.fault.note("a part");
    assert_eq!(status("/healthz"), "503");
}

#[test]
fn an_address_that_others_reach_needs_a_token() {
    let options = |addr: &str, token: Option<&str>| HttpOptions {
        addr: addr.parse().unwrap(),
        token: token.map(|token| token.parse().unwrap()),
    };
    for own in ["127.0.0.1:9", "[::1]:9", "127.9.9.9:9", "[::ffff:127.0.0.1]:9"] {
        assert!(options(own, None).check().is_ok(), "{own}");
    }
    let token = Token::random_text();
    for open in ["0.0.0.0:9", "[::]:9", "192.0.2.1:9", "[::ffff:192.0.2.1]:9"] {
        let Err(Error::Usage(text)) = options(open, None).check() else { panic!("{open} is open") };
        assert!(text.contains("--http-token-file") && text.contains("127.0.0.1:9"), "{text}");
        assert!(options(open, Some(&token)).check().is_ok(), "{open}");
    }
}

/// Reads from an open page until `part` has come.
fn until(stream: &mut TcpStream, part: &str) -> String {
    let (mut all, mut buffer) = (String::new(), [0; 4096]);
    while !all.contains(part) {
        let count = stream.read(&mut buffer).expect("it comes");
        assert!(count > 0, "it ended: {all}");
        all.push_str(std::str::from_utf8(&buffer[..count]).expect("plain text"));
    }
    all
}

fn open_page(http: &Http) -> TcpStream {
    let mut stream = connect(http);
    stream.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    stream
}

#[test]
fn a_page_is_told_at_once_and_then_every_second() {
    let (_place, _server, http) = watched(HttpTimeouts::default());
    let mut page = open_page(&http);
    let first = until(&mut page, "event: look\ndata: {");
    assert!(first.starts_with("HTTP/1.1 200") && first.contains("content-type: text/event-stream"), "{first}");
    assert!(first.contains("event: past\n") && first.contains("event: days\ndata: []\n"), "{first}");
    until(&mut page, "event: look\n");
    until(&mut page, "event: look\n");
}

#[test]
fn more_pages_than_there_is_room_for_are_told_to_come_again() {
    let (_place, server, http) = watched(HttpTimeouts::default());
    let mut pages: Vec<_> = (0..HTTP_PAGES_MAX).map(|_| open_page(&http)).collect();
    pages.iter_mut().for_each(|page| assert!(until(page, "\r\n\r\n").starts_with("HTTP/1.1 200")));
    assert!(until(&mut open_page(&http), "\r\n\r\n").starts_with("HTTP/1.1 503"));
    is_met(&server, Limit::HttpPages, 1);
    is_healthy(&http);
    pages.pop();
    // Its place is free when the server has seen that it is gone.
    let end = std::time::Instant::now() + LONG;
    while !until(&mut open_page(&http), "\r\n\r\n").starts_with("HTTP/1.1 200") {
        assert!(std::time::Instant::now() < end, "no place is given back");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_page_comes_with_a_policy_under_which_nothing_but_its_script_runs() {
    let (_place, _server, http) = watched(HttpTimeouts::default());
    let answer = ask(&http, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let policy = answer.lines().find_map(|line| line.strip_prefix("content-security-policy: ")).expect("a policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
}
