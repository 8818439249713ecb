//! The README's picture: a real transfer on a real terminal, drawn as SVG.
//!
//! `QFT_PICTURE=1 cargo test --release --test program picture` draws it anew; without that the file is only examined.
//! `script` gives the program its terminal.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use vt100::{Cell, Color, Screen};

use crate::support::bin::write_letters;

const ROWS: u16 = 13;
const COLUMNS: u16 = 92;
/// A cell in pixels, and the space around the screen.
const CELL: (f64, f64) = (8.4, 18.0);
const MARGIN: f64 = 14.0;
const FONT_PIXELS: u16 = 14;
/// The screen is always dark, with a frame that is seen on both light and dark pages.
const BACKGROUND: &str = "#16181d";
const FRAME: &str = "#5b6270";
const TEXT: &str = "#d7dae0";
const DIM: &str = "#6b7280";
const PALETTE: [&str; 8] = ["#2b2f37", "#e06c75", "#7cc379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#d7dae0"];
/// Files of the picture, in MiB: names and sizes that a reader knows from home.
const FILES: [(&str, u64); 6] = [
    ("holiday/beach.mp4", 900),
    ("holiday/drone/flight-1.mov", 700),
    ("holiday/drone/flight-2.mov", 620),
    ("holiday/raw/IMG_0041.dng", 96),
    ("holiday/raw/IMG_0042.dng", 88),
    ("holiday/sunset.mp4", 480),
];

fn picture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pictures/send.svg")
}

#[test]
fn the_picture_is_there_and_well_formed() {
    if std::env::var_os("QFT_PICTURE").is_some() {
        let svg = draw(&liveliest(&record()));
        fs::write(picture(), svg).expect("the repository can be written");
    }
    let svg = fs::read_to_string(picture()).expect("the picture is in the repository");
    assert_balanced(&svg);
    for part in ["qft send", "MiB/s", "rtt", "beach.mp4", "━"] {
        assert!(text_of(&svg).contains(part), "{part:?} is missing");
    }
}

/// All that the program wrote to its terminal, while it sent real files through a real socket.
fn record() -> Vec<u8> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for (name, mib) in FILES {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("it has one")).expect("made");
        let mut file = File::create(&path).expect("made");
        write_letters(&mut file, mib << 20);
    }
    let qft = env!("CARGO_BIN_EXE_qft");
    let home = |name: &str| dir.path().join(name);
    fs::create_dir(home("in")).expect("made");
    let ticket_file = dir.path().join("ticket");
    let mut server = Command::new(qft)
        .args(["serve", "in", "-l", "127.0.0.1:0", "-q", "--ticket-file"])
        .arg(&ticket_file)
        .current_dir(dir.path())
        .env("QFT_HOME", home("remote"))
        .stderr(Stdio::null())
        .spawn()
        .expect("the server starts");
    let ticket = wait_for_text(&ticket_file);
    let paired = Command::new(qft).args(["ls", ticket.trim()]).env("QFT_HOME", home("local")).output();
    assert!(paired.is_ok_and(|paired| paired.status.success()), "paired");
    // The default remote is called after this machine; the picture's is called box.
    let remotes = home("local").join("remotes");
    let known = fs::read_to_string(&remotes).expect("saved");
    let renamed = known.replacen(&host_name(), "box", 1);
    fs::write(&remotes, renamed).expect("ours");
    let line = format!("stty rows {ROWS} cols {COLUMNS}; exec {qft} send -j 4 holiday box:2026/");
    let recorded = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .current_dir(dir.path())
        .env("QFT_HOME", home("local"))
        .envs([("TERM", "xterm-256color"), ("LC_ALL", "C.UTF-8")])
        .stdin(Stdio::null())
        .output()
        .expect("script (util-linux) is installed");
    let _ = server.kill();
    let _ = server.wait();
    assert!(recorded.status.success(), "{}", String::from_utf8_lossy(&recorded.stdout));
    [b"$ qft send holiday box:2026/\r\n".as_slice(), &recorded.stdout].concat()
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn wait_for_text(path: &Path) -> String {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        match fs::read_to_string(path) {
            Ok(text) => return text,
            Err(_) => assert!(std::time::Instant::now() < end, "no ticket"),
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// The moment with most bars, late enough for its figures to have settled.
fn liveliest(recorded: &[u8]) -> Screen {
    let mut parser = vt100::Parser::new(ROWS, COLUMNS, 0);
    let mut best: Option<(usize, Screen)> = None;
    // Each draw ends with the cursor at the start of a line, so what precedes that is a whole screen.
    for piece in recorded.split_inclusive(|byte| *byte == b'\r') {
        parser.process(piece);
        let screen = parser.screen();
        // Row by row: bars fill their rows, which a terminal takes for one long line.
        let rows: Vec<String> = (0..ROWS).map(|row| line(screen, row)).collect();
        let bars = rows.iter().filter(|row| row.contains('╸')).count();
        let is_whole = ["active", "rtt", "MiB/s"].iter().all(|part| rows.iter().any(|row| row.contains(part)));
        // Half way through, names are new enough and figures have settled.
        let percent = rows.iter().find(|row| row.contains(" files ")).and_then(|row| total_percent(row)).unwrap_or(0);
        let score = 1000 * bars + 50_usize.saturating_sub(percent.abs_diff(40));
        if is_whole && best.as_ref().is_none_or(|(most, _)| score > *most) {
            best = Some((score, screen.clone()));
        }
    }
    best.expect("a long transfer shows bars").1
}

/// The percentage of the line with the totals.
fn total_percent(line: &str) -> Option<usize> {
    line.split_whitespace().find_map(|word| word.strip_suffix('%')?.parse().ok())
}

/// A grid of text: one element for each run of cells that look the same.
fn draw(screen: &Screen) -> String {
    let used = (0..ROWS).rev().find(|row| !line(screen, *row).trim().is_empty()).map_or(1, |row| row + 1);
    let width = f64::from(COLUMNS) * CELL.0 + 2.0 * MARGIN;
    let height = f64::from(used) * CELL.1 + 2.0 * MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         role=\"img\" aria-label=\"qft send in a terminal\">\n\
         <rect x=\"0.5\" y=\"0.5\" width=\"{:.0}\" height=\"{:.0}\" rx=\"8\" fill=\"{BACKGROUND}\" stroke=\"{FRAME}\"/>\n\
         <g font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace\" font-size=\"{FONT_PIXELS}\" \
         xml:space=\"preserve\">\n",
        width - 1.0,
        height - 1.0,
    );
    for row in 0..used {
        draw_row(&mut svg, screen, row);
    }
    svg.push_str("</g>\n</svg>\n");
    svg
}

fn line(screen: &Screen, row: u16) -> String {
    screen.contents_between(row, 0, row, COLUMNS)
}

fn draw_row(svg: &mut String, screen: &Screen, row: u16) {
    let cells: Vec<(&str, &str)> = (0..COLUMNS).filter_map(|column| screen.cell(row, column)).map(look).collect();
    let y = MARGIN + f64::from(row) * CELL.1 + f64::from(FONT_PIXELS);
    let mut start = 0;
    while start < cells.len() {
        let color = cells[start].1;
        let len = cells[start..].iter().take_while(|cell| cell.1 == color).count();
        let text: String = cells[start..start + len].iter().map(|cell| cell.0).collect();
        if !text.trim().is_empty() {
            let (x, width) = (MARGIN + start as f64 * CELL.0, len as f64 * CELL.0);
            // The length holds the grid together where the font's cells have another width.
            let _ = writeln!(
                svg,
                "<text x=\"{x:.1}\" y=\"{y:.1}\" fill=\"{color}\" textLength=\"{width:.1}\">{}</text>",
                escape(&text),
            );
        }
        start += len;
    }
}

/// What a cell shows, and its colour.
fn look(cell: &Cell) -> (&str, &'static str) {
    let text = if cell.has_contents() { cell.contents() } else { " " };
    let color = match cell.fgcolor() {
        _ if cell.dim() => DIM,
        Color::Idx(index) => PALETTE[usize::from(index) % PALETTE.len()],
        _ => TEXT,
    };
    (text, color)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace(' ', "\u{a0}")
}

/// What is between the tags.
fn text_of(svg: &str) -> String {
    let pieces = svg.split('<').filter_map(|piece| piece.split_once('>'));
    pieces.map(|(_, text)| text.replace('\u{a0}', " ")).collect()
}

/// Every element is closed, by the one that was opened last.
fn assert_balanced(svg: &str) {
    let mut open = Vec::new();
    for piece in svg.split('<').skip(1) {
        let (tag, _) = piece.split_once('>').expect("a tag ends");
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        match (tag.strip_prefix('/'), tag.ends_with('/')) {
            (Some(name), _) => assert_eq!(open.pop(), Some(name), "{tag}"),
            (None, true) => {}
            (None, false) => open.push(tag.split_whitespace().next().expect("a tag has a name")),
        }
    }
    assert_eq!(open, Vec::<&str>::new());
}
