use super::*;
use crate::cli::ui::text::shown;
use crate::congestion;
use crate::server::status::PathStatus;

const MIB: u64 = 1 << 20;
const COLUMNS: Option<usize> = Some(80);

fn serving() -> Serving {
    Serving {
        pid: 4711,
        listen: "[::]:4433".parse().expect("an address"),
        advertised: None,
        fingerprint: Fingerprint([7; 32]),
        root: "/srv/incoming".into(),
        is_open: false,
        mode: crate::server::AccessMode::ReadWrite,
    }
}

fn idle() -> ServerStatus {
    ServerStatus {
        version: "0.1.0".into(),
        uptime_ms: 187_200_000,
        is_ending: false,
        rules: Rules {
            read: true,
            write: true,
            no_clobber: false,
            no_links: false,
            keep_dirlinks: false,
            hidden: false,
            no_auth: false,
            token: false,
            client_ca: false,
            once: false,
            sync: true,
            rate_limit: None,
        },
        workers: vec![0, 0],
        clients: 0,
        clients_max: 64,
        connections: Vec::new(),
    }
}

fn connection(peer: &str, jobs: Vec<JobStatus>) -> ConnectionStatus {
    ConnectionStatus {
        peer: peer.into(),
        fingerprint: Fingerprint([9; 32]).to_string(),
        address: "192.0.2.7:51234".parse().expect("an address"),
        worker: 1,
        connected_ms: 192_000,
        rtt_us: 182_400,
        loss: None,
        rate_in: Some(43 * MIB),
        rate_out: Some(120 << 10),
        mtu: 1452,
        path: Some(PathStatus {
            bandwidth: 12_000_000,
            min_rtt_us: 180_000,
            window: 4 * MIB,
            phase: congestion::Phase::Cruise,
        }),
        jobs,
    }
}

fn job(direction: Direction) -> JobStatus {
    JobStatus {
        direction,
        elapsed_ms: 60_000,
        files_settled: 12,
        files_found: 1340,
        files_failed: 1,
        scan_ended: true,
        bytes_there: 1229 * MIB,
        bytes_found: 4096 * MIB,
        bytes_written: 1000 * MIB,
        rate: Some(41 * MIB),
        loss: Some(0.013),
        files_active: 16,
        active: vec![
            FileStatus { path: "photos/IMG_0042.dng".into(), size: 200, bytes_there: 91, phase: FilePhase::Moving },
            FileStatus { path: "b\u{1b}[2J".into(), size: 100, bytes_there: 100, phase: FilePhase::Committing },
        ],
    }
}

fn shown_page(status: ServerStatus, columns: Option<usize>) -> String {
    page(&[FoundServer { serving: serving(), answer: Ok(status) }], columns)
}

#[test]
fn an_idle_server_takes_a_few_lines() {
    let expected = format!(
        "/srv/incoming on [::]:4433 (udp)
  process    pid 4711, up 2d04h, qft 0.1.0
  identity   {}
  access     enrolled clients may send and get
  workers    2 with 0, 0 connections
  clients    0 of at most 64
",
        Fingerprint([7; 32])
    );
    assert_eq!(shown_page(idle(), COLUMNS), expected);
}

#[test]
fn each_client_is_shown_with_its_link_and_its_jobs() {
    let both = vec![job(Direction::In), JobStatus { active: vec![], files_active: 0, ..job(Direction::Out) }];
    let connections = vec![connection("laptop", both), connection("ci", vec![])];
    let status = ServerStatus { workers: vec![0, 2], clients: 2, connections, ..idle() };
    let page = shown_page(status, COLUMNS);
    let expected = "
  laptop (KEY), 192.0.2.7:51234, for 3m12s, worker 1
    link       rtt 182 ms  in 43 MiB/s  out 120 KiB/s  path 96 Mbit/s
    receiving  12/1,340 files  1.20/4.00 GiB  30%  41 MiB/s  eta 1m09s
               loss 1.3%  1 failed
                45%  photos/IMG_0042.dng
               100%  b\\033[2J  saving
               and 14 more under way
    sending    12/1,340 files  1.20/4.00 GiB  30%  41 MiB/s  eta 1m09s
               loss 1.3%  1 failed

  ci (KEY), 192.0.2.7:51234, for 3m12s, worker 1
    link       rtt 182 ms  in 43 MiB/s  out 120 KiB/s
";
    let (_, clients) = page.split_once("of at most 64\n").expect("the server's own lines");
    assert_eq!(clients.replace(&Fingerprint([9; 32]).short(), "KEY"), expected);
}

#[test]
fn what_is_not_known_yet_is_left_out() {
    let young = JobStatus {
        files_settled: 0,
        files_found: 0,
        files_failed: 0,
        scan_ended: false,
        bytes_there: 0,
        bytes_found: 0,
        rate: None,
        loss: None,
        files_active: 0,
        active: vec![],
        ..job(Direction::In)
    };
    assert_eq!(progress(&young), ["0/0+ files", "0/0 B"], "no rate, no loss");
    let young = ConnectionStatus { rate_in: None, rate_out: None, path: None, ..connection("a", vec![young]) };
    assert_eq!(link(&young), ["rtt 182 ms"]);
}

#[test]
fn what_is_found_so_far_is_marked() {
    let unfinished = JobStatus { scan_ended: false, files_failed: 0, loss: None, ..job(Direction::In) };
    assert_eq!(progress(&unfinished), ["12/1,340+ files", "1.20/4.00 GiB", "30%", "41 MiB/s", "eta 1m09s+"]);
    let whole = JobStatus { bytes_there: unfinished.bytes_found, ..unfinished };
    assert_eq!(progress(&whole).last().map(String::as_str), Some("41 MiB/s"), "nothing is left to wait for");
}

#[test]
fn the_options_of_the_server_are_named() {
    let rules = idle().rules;
    let drop_box = Rules { read: false, no_clobber: true, no_auth: true, sync: false, ..rules.clone() };
    assert_eq!(access(&drop_box), ["anyone may send", "--no-auth", "--write-only", "--no-clobber", "--no-sync"]);
    let limited = Rules { write: false, rate_limit: Some(10 * MIB), ..rules };
    assert_eq!(access(&limited), ["enrolled clients may get", "--read-only", "--bwlimit 10 MiB/s"]);
}

#[test]
fn a_server_that_says_nothing_is_shown_with_the_reason() {
    let found = [FoundServer { serving: serving(), answer: Err("it is\nstopped".into()) }];
    let page = page(&found, COLUMNS);
    assert!(page.starts_with("/srv/incoming on [::]:4433 (udp)\n  process    pid 4711\n  identity   "), "{page}");
    assert!(page.ends_with("\n  unknown    it is\\nstopped\n"), "{page}");
}

#[test]
fn no_line_is_wider_than_the_terminal_and_nothing_is_cut_where_there_is_none() {
    let path = format!("{}/end", "deep/".repeat(40));
    let file = FileStatus { path: path.clone(), size: 2, bytes_there: 1, phase: FilePhase::Checking };
    let job = JobStatus { active: vec![file; 4], ..job(Direction::In) };
    let far = ConnectionStatus {
        address: "[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]:51234".parse().expect("an address"),
        ..connection("a-name-of-thirty-two-characters-", vec![job])
    };
    let rules = Rules { no_clobber: true, hidden: true, no_auth: true, token: true, once: true, ..idle().rules };
    let status = ServerStatus { workers: vec![1; 64], clients: 2000, connections: vec![far], rules, ..idle() };
    let page = shown_page(status.clone(), COLUMNS);
    assert!(page.lines().all(|line| line.width() <= 80), "{page}");
    assert!(page.contains("deep//end  checking\n") && !page.contains(&path), "{page}");
    assert!(page.ends_with("\n  and 1,999 more\n"), "{page}");
    let piped = shown_page(status, None);
    assert!(piped.contains(&path) && piped.lines().count() < page.lines().count(), "{piped}");
    assert_eq!(shown(&piped.replace('\n', "")), piped.replace('\n', ""), "nothing moves the cursor");
}

#[test]
fn one_connection_is_singular() {
    assert_eq!(workers(&[1]), ["1 with 1 connection"]);
    assert_eq!(workers(&[1, 0]).join(", "), "2 with 1, 0 connections");
}
