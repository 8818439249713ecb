//! The page that a server shows, in a real browser: what is on it, what becomes of it, and who can read it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::bin::{Machine, wait_for};
use crate::support::browser::Browser;
use crate::support::http::get;

/// A name that would be a script if it were markup.
const NAME: &str = "<script>hacked=1<img src=x onerror=hacked=1>.bin";

/// A port that was free just now.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port()
}

#[test]
fn the_page_shows_a_transfer_escapes_its_name_and_survives_a_restart() {
    let Some(mut browser) = Browser::start(1280, 900) else { return };
    let (remote, local) = (Machine::new(), Machine::new());
    let options = format!("--http {} --bwlimit 1M --drain 0s", free_port());
    let mut serve = remote.serve("in", &options);
    let address = serve.http();
    local.write_large(NAME, 64 << 20);
    let sending = local.qft(["send", NAME, "--to", serve.ticket()]).start();
    browser.open(&format!("http://{address}/"));
    let name = format!("document.body.innerText.includes({})", json!(NAME));
    browser.until(&name);
    browser.until("document.getElementById('state').textContent === 'serving'");
    browser.until("document.querySelector('.client .job progress').value > 0");
    browser.until("document.querySelector('#chart-in .line').getAttribute('d').split('L').length > 3");
    browser.until("document.querySelector('.client .spark .line').getAttribute('d').length > 0");
    browser.until("document.getElementById('rate-in').textContent.endsWith('/s')");
    assert_eq!(browser.evaluate("typeof hacked"), "undefined");
    assert_eq!(browser.evaluate("document.querySelectorAll('script').length + document.images.length"), 1);
    // Nothing that is not its own runs, even if it were there.
    let inline = "(() => { const s = document.createElement('script'); s.textContent = 'hacked=1'; document.body.append(s); s.remove(); return typeof hacked; })()";
    assert_eq!(browser.evaluate(inline), "undefined");
    drop(sending);
    serve.signal(Signal::TERM);
    assert_eq!(serve.end(), Some(0));
    browser.until("document.getElementById('state').textContent.includes('trying again')");
    let again = remote.serve("in", &options);
    assert_eq!(again.http(), address);
    browser.until("document.getElementById('state').textContent === 'serving'");
    browser.until("document.getElementById('more').textContent === 'Nobody is connected.'");
    browser.until("document.getElementById('days-table').children.length === 1");
    browser.until("document.getElementById('parts').textContent.startsWith('1 unfinished')");
}

/// A server that shows the real page, and on it what a test makes up.
fn stage(look: &Value, days: &Value) -> String {
    let real = Machine::new();
    let serve = real.serve("in", "--http 0");
    let page = get(&serve.http(), "/", &[]);
    let head: Vec<_> = page.exact_head.lines().filter(|line| line.starts_with("content-")).map(str::to_owned).collect();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    // Like a link, and the same every time.
    let wave = |n: u64, most: u64| {
        let (slow, fast) = ((n as f64 / 19.0).sin(), (n as f64 / 4.7).sin());
        let jitter = (n * 7919 % 97) as f64 / 97.0;
        (most as f64 * (0.62 + 0.2 * slow + 0.06 * fast + 0.08 * jitter)) as u64
    };
    let rates = |most: u64| (0..300).map(|n| wave(n, most)).collect::<Vec<_>>();
    let past = json!({ "into": rates(90 << 20), "out": rates(30 << 20) });
    let event = |name: &str, data: &Value| format!("event: {name}\ndata: {data}\n\n");
    let first = format!("{}{}", event("past", &past), event("days", days));
    let look = look.clone();
    let answer = move |mut stream: TcpStream| {
        let mut next = look.clone();
        let mut line = String::new();
        BufReader::new(stream.try_clone().expect("a stream")).read_line(&mut line).expect("a request");
        let head = head.join("\r\n");
        if !line.starts_with("GET /events") {
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\n{head}\r\n\r\n{}", page.body);
            return;
        }
        let _ =
            write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/event-stream\r\n\r\n{first}");
        for n in 300.. {
            (next["rate_in"], next["rate_out"]) = (wave(n, 90 << 20).into(), wave(n, 30 << 20).into());
            for (at, connection) in (0..).zip(next["status"]["connections"].as_array_mut().into_iter().flatten()) {
                connection["rtt_us"] = (14_000 + wave(n * 3 + at * 61, 19_000)).into();
                let content = wave(n + at * 71, 40 << 20);
                let [into, out] = match connection["jobs"][0]["direction"].as_str() {
                    Some("in") => [content, content / 90],
                    Some(_) => [content / 90, content],
                    None => [0, 0],
                };
                (connection["rate_in"], connection["rate_out"]) = (into.into(), out.into());
            }
            if write!(stream, "event: look\ndata: {next}\n\n").is_err() {
                return;
            }
            // As many as make a chart come at once, the others as a server says them.
            if n > 390 {
                std::thread::sleep(Duration::from_secs(1));
            }
        }
    };
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = answer.clone();
            std::thread::spawn(move || answer(stream));
        }
    });
    address
}

fn job(direction: &str, there: u64, files: &[&str], more: u64) -> Value {
    let file = |(n, path): (usize, &&str)| {
        let phase = if n == 2 { "checking" } else { "moving" };
        json!({ "path": path, "size": 900 << 20, "bytes_there": ((n as u64 + 2) * 123) << 20, "phase": phase })
    };
    let active: Vec<_> = files.iter().enumerate().map(file).collect();
    json!({
        "direction": direction, "elapsed_ms": 93_000, "files_settled": 182, "files_found": 214, "files_failed": 1,
        "scan_ended": true, "bytes_there": there, "bytes_found": 8_u64 << 30, "bytes_written": there,
        "rate": 41 << 20, "loss": 0.002, "files_active": active.len() as u64 + more, "active": active,
    })
}

fn connection(number: u64, peer: &str, jobs: Vec<Value>) -> Value {
    json!({
        "peer": peer, "fingerprint": "3f7kq2xw5uhgb", "address": format!("198.51.100.{}:5123{number}", number % 200),
        "worker": number % 4, "connected_ms": 754_000, "rtt_us": 24_000, "loss": 0.004, "rate_in": 41 << 20,
        "rate_out": 310_000, "mtu": 1452, "path": null, "jobs": jobs,
    })
}

fn look(clients: u64, connections: Vec<Value>) -> Value {
    json!({
        "root": "/srv/incoming", "rate_in": 71 << 20, "rate_out": 22 << 20, "memory": 38 << 20, "free": 1_234_u64 << 30,
        "parts": { "files": 3, "bytes": 5_u64 << 30 },
        "refused": [["not_authorised", 12], ["handshake", 3]], "limits": [["incoming", 2]],
        "status": {
            "version": "0.1.0", "uptime_ms": 1_234_567_000_u64, "is_ending": false, "workers": [2, 1, 1, 0],
            "clients": clients, "clients_max": 1024, "connections": connections, "rules": {},
        },
    })
}

fn days() -> Value {
    let day = |n: u64| {
        json!({
            "of": format!("2026-{:02}-{:02}", 10 + n / 30, 1 + n % 30), "jobs": 3 + n % 7,
            "received": { "files": 100 * n, "bytes": (n * 7919 % 31) << 30 },
            "sent": { "files": n, "bytes": (n * 104_729 % 13) << 30 }, "seconds": 1.5, "unwell": n % 3,
        })
    };
    (1..=30).map(day).collect()
}

fn busy() -> Value {
    let photos =
        ["photos/2026/summer/IMG_20260714_081522.dng", "photos/2026/summer/IMG_20260714_081523.dng", "photos/map.tif"];
    look(
        4,
        vec![
            connection(1, "laptop", vec![job("in", 5 << 30, &photos, 13)]),
            connection(2, "build-server.example", vec![job("out", 7 << 30, &["images/base-2026-11-28.qcow2"], 0)]),
            connection(3, "nas", vec![job("in", 1 << 30, &["backups/2026-11-27.tar.zst"], 0)]),
            connection(4, "workstation", vec![]),
        ],
    )
}

#[test]
fn of_a_thousand_clients_the_page_draws_some_and_counts_the_rest() {
    let Some(mut browser) = Browser::start(1280, 900) else { return };
    let all =
        (0..50).map(|n| connection(n, &format!("client {n}"), vec![job("in", n << 26, &["a", "b", "c", "d"], 12)]));
    let address = stage(&look(990, all.collect()), &days());
    browser.open(&format!("http://{address}/"));
    browser.until("document.getElementById('more').textContent === 'and 940 more'");
    // It keeps up: all that was said is drawn, and nothing is left behind of it.
    browser.until("document.querySelector('.client .spark .line').getAttribute('d').split('L').length > 80");
    assert_eq!(browser.evaluate("document.querySelectorAll('.client').length"), 50);
    let nodes = browser.evaluate("document.querySelectorAll('*').length").as_u64().expect("a number");
    assert!(nodes < 50 * 80 + 500, "{nodes} elements");
}

/// The contrast of each text with what is behind it, where it is too low (WCAG 2.2, 1.4.3).
const LOW_CONTRAST: &str = "(() => {
  const parse = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = (color) => color.slice(0, 3).map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, n) => sum + c * [0.2126, 0.7152, 0.0722][n], 0);
  const over = (top, under) => { const a = top.length > 3 ? top[3] : 1; return [0, 1, 2].map((n) => top[n] * a + under[n] * (1 - a)); };
  const ground = (node) => {
    if (!node) return [255, 255, 255];
    const own = parse(getComputedStyle(node).backgroundColor);
    return own.length > 3 && own[3] === 0 ? ground(node.parentElement) : over(own, own.length > 3 ? ground(node.parentElement) : own);
  };
  const low = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const node = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || ['SCRIPT', 'STYLE', 'NOSCRIPT'].includes(node.tagName)) continue;
    const behind = ground(node), [a, b] = [light(over(parse(getComputedStyle(node).color), behind)), light(behind)].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) low.push(`${texts.currentNode.data.trim().slice(0, 30)}: ${((a + 0.05) / (b + 0.05)).toFixed(2)}`);
  }
  return low;
})()";

#[test]
fn whoever_cannot_see_or_cannot_point_can_use_the_page() {
    let Some(mut browser) = Browser::start(1280, 900) else { return };
    let address = stage(&busy(), &days());
    browser.open(&format!("http://{address}/"));
    browser.until("document.querySelectorAll('.client').length === 4");
    let spoken = browser.spoken();
    let of_role = |role: &str| spoken.iter().filter(|node| node["role"]["value"] == role).collect::<Vec<_>>();
    for landmark in ["banner", "main", "contentinfo"] {
        assert_eq!(of_role(landmark).len(), 1, "{landmark}");
    }
    let name = |node: &Value| node["name"]["value"].as_str().unwrap_or_default().to_owned();
    let (mut bars, mut pictures) = (0, 0);
    for (role, count) in [("progressbar", &mut bars), ("image", &mut pictures), ("img", &mut 0), ("link", &mut 0)] {
        for node in of_role(role) {
            *count += 1;
            assert!(!name(node).trim().is_empty(), "a {role} without a name: {node}");
        }
    }
    assert!(bars >= 8 && pictures + of_role("graphics-document").len() >= 10, "{bars} bars, {pictures} pictures");
    let regions: Vec<_> = of_role("region").into_iter().map(name).collect();
    assert!(
        regions.iter().any(|region| region == "Clients") && regions.iter().all(|region| !region.is_empty()),
        "{regions:?}"
    );
    assert!(of_role("heading").iter().any(|heading| name(heading) == "laptop"));
    assert_eq!(browser.evaluate("document.documentElement.lang"), "en");
    assert_eq!(browser.evaluate("document.getElementById('state').getAttribute('role')"), "status");
    // By keyboard: the first stop leads past the rest, and each stop can be seen.
    browser.press("Tab");
    assert_eq!(browser.evaluate("document.activeElement.className"), "skip");
    assert_ne!(browser.evaluate("getComputedStyle(document.activeElement).outlineStyle"), "none");
    for scheme in ["light", "dark"] {
        browser.prefer(scheme);
        let low = browser.evaluate(LOW_CONTRAST);
        assert_eq!(low, json!([]), "{scheme}");
    }
    for width in [1280, 400, 320] {
        browser.resize(width, 900);
        let reach = browser.evaluate("document.documentElement.scrollWidth").as_u64().expect("a number");
        assert!(reach <= u64::from(width), "{reach} columns of {width}");
    }
}

/// Draws the pictures of the README anew, into the directory that `QFT_PICTURES` names.
#[test]
fn the_page_can_be_pictured() {
    let Some(to) = std::env::var_os("QFT_PICTURES").map(PathBuf::from) else { return };
    let Some(mut browser) = Browser::start(1280, 900) else { return };
    let address = stage(&busy(), &days());
    for (name, scheme, width, height) in
        [("page", "light", 1280, 1440), ("page-dark", "dark", 1280, 1440), ("page-400", "light", 400, 2300)]
    {
        browser.prefer(scheme);
        browser.resize(width, height);
        browser.open(&format!("http://{address}/"));
        browser.until("document.querySelector('.client .spark .line')?.getAttribute('d').split('L').length > 80");
        browser.picture(&to.join(name).with_extension("png"));
    }
    wait_for("the pictures", || to.join("page-400.png").exists().then_some(()));
}
