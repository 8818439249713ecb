//! A plain HTTP request, as a scraper makes it.
#![allow(dead_code, reason = "every test program uses another part of it")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// Longest wait for an answer: only a hang reaches it.
const LONG: Duration = Duration::from_secs(120);

pub(crate) struct Answer {
    pub(crate) status: u16,
    /// All of it before the body, in lower case; and as it was.
    pub(crate) head: String,
    pub(crate) exact_head: String,
    pub(crate) body: String,
}

/// Asks for `path`; `headers` are whole lines.
pub(crate) fn get(addr: &str, path: &str, headers: &[&str]) -> Answer {
    let mut stream = TcpStream::connect(addr).expect("it listens");
    stream.set_read_timeout(Some(LONG)).expect("a time");
    let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let host = if headers.to_lowercase().contains("host:") { String::new() } else { format!("Host: {addr}\r\n") };
    write!(stream, "GET {path} HTTP/1.1\r\n{host}Connection: close\r\n{headers}\r\n").expect("asked");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("answered");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
    Answer { status, head: head.to_lowercase(), exact_head: head.to_owned(), body: body.to_owned() }
}
