//! A ticket as a QR code on a terminal: two modules a character, one above the other.

use std::net::IpAddr;

use qrcode::{Color, EcLevel, QrCode};

use crate::keys::Ticket;

/// Light modules around the code: without them a camera does not find it (ISO 18004 wants four).
const QUIET: usize = 4;
/// Black on white whatever the terminal's own colours, and back.
const COLOURS: (&str, &str) = ("\x1b[38;5;16;48;5;231m", "\x1b[0m");

/// Draws the code; `None` when it does not fit into so many columns. With colours it is black on white; without, it
/// counts on light text on a dark ground.
pub(crate) fn draw(ticket: &Ticket, columns: usize, with_colours: bool) -> Option<Vec<String>> {
    // A ticket is short and a terminal is a clean surface, so the least redundancy gives the largest modules.
    let code = QrCode::with_error_correction_level(text(ticket), EcLevel::L).ok()?;
    let (side, modules) = (code.width(), code.to_colors());
    let full = side + 2 * QUIET;
    if full > columns {
        return None;
    }
    let is_dark = |x: usize, y: usize| {
        let inside = (QUIET..QUIET + side).contains(&x) && (QUIET..QUIET + side).contains(&y);
        inside && modules[(y - QUIET) * side + x - QUIET] == Color::Dark
    };
    let row = |y: usize| {
        let cells: String = (0..full).map(|x| cell(is_dark(x, y), is_dark(x, y + 1), with_colours)).collect();
        if with_colours { format!("{}{cells}{}", COLOURS.0, COLOURS.1) } else { cells }
    };
    Some((0..full).step_by(2).map(row).collect())
}

/// One character for two modules: what is drawn are the dark ones where ink is black, else the light ones.
fn cell(upper_dark: bool, lower_dark: bool, with_colours: bool) -> char {
    match (upper_dark == with_colours, lower_dark == with_colours) {
        (true, true) => '█',
        (true, false) => '▀',
        (false, true) => '▄',
        (false, false) => ' ',
    }
}

/// The ticket with upper-case letters where it reads the same: a QR code packs those, and digits, half as large again.
fn text(ticket: &Ticket) -> String {
    let text = ticket.to_string();
    let (who, place) = text.split_once('@').expect("a ticket has a place");
    // The zone of an IPv6 address is the name of an interface, and a host name is kept as it was written.
    let is_plain_address = ticket.host.parse::<IpAddr>().is_ok();
    let place = if is_plain_address { place.to_ascii_uppercase() } else { place.to_owned() };
    format!("{}@{place}", who.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Fingerprint, Invite};

    fn ticket(host: &str) -> Ticket {
        Ticket { fingerprint: Fingerprint([0xa5; 32]), invite: Some(Invite([0x3c; 16])), host: host.into(), port: 4433 }
    }

    #[test]
    fn what_is_drawn_reads_as_the_ticket() {
        for host in ["203.0.113.7", "box.example", "2001:db8::abcd", "fe80::1%eth0"] {
            let ticket = ticket(host);
            let read: Ticket = text(&ticket).parse().expect(host);
            assert_eq!(read.to_string().to_ascii_lowercase(), ticket.to_string(), "{host}");
            assert_eq!((read.fingerprint, read.invite, read.port), (ticket.fingerprint, ticket.invite, ticket.port));
        }
    }

    #[test]
    fn usual_tickets_fit_an_eighty_column_terminal() {
        for host in ["203.0.113.7", "2001:db8:1234:5678:9abc:def0:1234:5678", &"long-name.".repeat(10)] {
            let lines = draw(&ticket(host), 80, false).expect(host);
            let columns = lines[0].chars().count();
            assert!(columns <= 80 && lines.len() == columns.div_ceil(2), "{columns} x {}", lines.len());
            assert!(lines.iter().all(|line| line.chars().count() == columns));
        }
        assert_eq!(draw(&ticket("203.0.113.7"), 40, false), None, "too narrow");
    }

    #[test]
    fn the_quiet_zone_is_light_with_and_without_colours() {
        let coloured = draw(&ticket("10.0.0.7"), 80, true).expect("it fits");
        let plain = draw(&ticket("10.0.0.7"), 80, false).expect("it fits");
        assert!(plain[0].chars().all(|c| c == '█'));
        let inner =
            coloured[0].strip_prefix(COLOURS.0).and_then(|line| line.strip_suffix(COLOURS.1)).expect("coloured");
        assert!(inner.chars().all(|c| c == ' '));
    }
}
