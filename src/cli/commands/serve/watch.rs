//! A server that runs: its notices, its signals, and its end.

use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, interval_at, sleep_until};

use super::enrolled_clients;
use super::expiry::{DAILY, Expiry};
use super::hang_up::{HangUp, HangUpMeaning};
use super::limit::REPORT;
use super::output::ServeOutput;
use super::passes::{PassFiles, identity};
use super::systemd;
use crate::cli::args::ServeArgs;
use crate::cli::exit::Exit;
use crate::cli::run::signals::Signals;
use crate::cli::text::size;
use crate::cli::ui::message;
use crate::server::{Notice, Presence, Server};

/// How long a server that is stopped at once takes to tell its clients.
const PARTING_WAIT: Duration = Duration::from_millis(1500);

/// How long files that are done gather before they are told of. They come by the thousand, and to wake for each would take
/// processor time from their transfer.
const GATHER_FOR: Duration = Duration::from_millis(20);

/// A server that runs, and what its operator is told and can do.
pub(super) struct ServeLoop<'a> {
    pub(super) server: Server,
    pub(super) out: &'a mut ServeOutput,
    pub(super) args: &'a ServeArgs,
    pub(super) home: &'a Path,
    pub(super) passes: &'a mut PassFiles,
    pub(super) expiry: Option<Expiry>,
    /// Leaves the sign by which others of this home find the server.
    pub(super) sign: &'a dyn Fn(&Server) -> Option<Presence>,
    pub(super) presence: Option<Presence>,
    pub(super) is_draining: bool,
}

impl ServeLoop<'_> {
    /// Prints notices until the server has ended; the first signal drains, the second ends at once.
    pub(super) async fn run(mut self, mut signals: Signals) -> anyhow::Result<Exit> {
        let mut hang_up = HangUp::catch()?;
        self.out.run();
        let mut daily = interval_at(Instant::now() + DAILY, DAILY);
        let mut reports = interval_at(Instant::now() + REPORT, REPORT);
        let mut rest = None;
        loop {
            tokio::select! {
                biased;
                what = hang_up.next(), if !self.is_draining => match what {
                    HangUpMeaning::ToReload => self.reload(),
                    // The terminal is gone, and with it whoever would stop this server.
                    HangUpMeaning::ToEnd => self.stop(),
                },
                stop = signals.next() => {
                    if self.is_draining {
                        return Ok(self.abandon(stop.exit()));
                    }
                    let time = size::rough(self.args.drain);
                    self.out.event(&format!("stopping; files in flight may finish for {time}; once more stops at once"));
                    self.stop();
                }
                _ = daily.tick() => self.warn_of_expiry(),
                _ = reports.tick() => self.out.report_left_out(),
                notice = next_notice(&self.server, rest) => match notice {
                    Some(notice) => {
                        self.out.notice(&notice, std::time::Instant::now());
                        rest = matches!(notice, Notice::Finished { .. }).then(|| Instant::now() + GATHER_FOR);
                    }
                    None => break,
                },
            }
        }
        self.end()
    }

    /// The server has ended, or is about to.
    fn end(self) -> anyhow::Result<Exit> {
        let Some(fault) = self.server.fault() else {
            self.server.wait();
            self.out.end(Exit::Done);
            return Ok(Exit::Done);
        };
        self.out.end(Exit::Failed);
        // Its threads may not all be able to end; the process is, and takes them along.
        std::mem::forget(self.server);
        Err(anyhow::Error::new(fault).context("this server ended by a fault of its own; please report it"))
    }

    /// Reads everything again that others may have replaced: the list, the token, the clients' CA, the certificate.
    fn reload(&mut self) {
        systemd::reloading();
        for error in self.passes.reload() {
            self.warn_of_old(&error);
        }
        self.reload_certificate();
        // It reads the list, too.
        self.server.handle().replace_passes(self.passes.token(), self.passes.authority());
        self.passes.http_token().into_iter().for_each(|token| self.server.replace_http_token(token));
        let enrolled = enrolled_clients(self.home, self.out);
        let certificate = self.args.cert.as_ref().map_or("", |_| ", the certificate");
        let others = format!("{}{certificate}", self.passes.names());
        let said = format!("read the list of clients again{others}: {enrolled} enrolled");
        self.out.event(&said);
        systemd::ready(&said);
    }

    /// Shows clients that come from now on what is in the certificate's files now.
    fn reload_certificate(&mut self) {
        let Some(file) = &self.args.cert else { return };
        match identity(self.args, self.home) {
            Ok((fresh, _)) => {
                self.expiry = Expiry::read(file);
                let is_other = fresh.fingerprint() != self.server.fingerprint();
                self.server.handle().replace_identity(fresh);
                if is_other {
                    // Tickets that are made from now on are for the new key. The old sign goes before the new one comes.
                    self.presence = None;
                    self.presence = (self.sign)(&self.server);
                }
                self.warn_of_expiry();
            }
            Err(error) => self.warn_of_old(&error),
        }
    }

    fn warn_of_old(&mut self, error: &anyhow::Error) {
        let error = message(error);
        self.out.warn(&format!("what was read before stays in force: {error}"));
    }

    fn stop(&mut self) {
        systemd::stopping("files in flight may finish");
        self.is_draining = true;
        self.server.handle().shutdown(self.args.drain);
    }

    /// Ends at once. The clients are told, so that they look for a successor instead of waiting for the idle timeout.
    fn abandon(self, exit: Exit) -> Exit {
        let (server, (ended, end)) = (self.server, mpsc::channel::<()>());
        server.handle().shutdown(Duration::ZERO);
        let wait = move || {
            server.wait();
            drop(ended);
        };
        // A thread that waits for a disk is not waited for: the process ends now, and takes it along.
        if std::thread::Builder::new().name("qft-end".to_owned()).spawn(wait).is_ok() {
            // Either they have ended, or they take too long.
            let _ = end.recv_timeout(PARTING_WAIT);
        }
        self.out.end(exit);
        exit
    }

    fn warn_of_expiry(&mut self) {
        if let Some(expiry) = &self.expiry {
            expiry.warn(self.out, SystemTime::now());
        }
    }
}

/// The next notice: at once while some are there, and after the rest when they have been told of.
async fn next_notice(server: &Server, rest: Option<Instant>) -> Option<Notice> {
    if let Some(until) = rest.filter(|_| !server.has_notices()) {
        sleep_until(until).await;
    }
    server.notice().await
}
