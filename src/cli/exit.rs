//! Exit codes: one function from an error, one from a report, and nobody else decides.

use std::process::ExitCode;

use super::ssh::SshError;
use crate::error::{Error, Fault};
use crate::keys::{CredentialError, HomeError, IdentityError, TicketError};
use crate::progress::JobReport;
use crate::protocol::close::CloseCode;
use crate::protocol::message::Status;
use crate::transport::TransportError;

/// Which signal asked for an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopSignal {
    Interrupt,
    Terminate,
    /// SIGHUP: the terminal is gone.
    HangUp,
}

impl StopSignal {
    /// How a shell shows the end that it asks for.
    pub(crate) fn exit(self) -> Exit {
        match self {
            Self::Interrupt => Exit::Interrupted,
            Self::Terminate => Exit::Terminated,
            Self::HangUp => Exit::HungUp,
        }
    }
}

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Done = 0,
    /// Something failed that no other code names.
    Failed = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// Some files failed, the others are done.
    SomeFailed = 3,
    /// The remote cannot be reached, or was lost.
    Unreachable = 4,
    /// One side does not trust the other.
    Untrusted = 5,
    /// Content did not have the digest that it should have.
    Unverified = 6,
    /// The remote would not take, or give, any of it.
    Refused = 7,
    /// Its terminal is gone (SIGHUP).
    HungUp = 129,
    /// The user stopped it (SIGINT).
    Interrupted = 130,
    /// It was told to end (SIGTERM).
    Terminated = 143,
}

impl Exit {
    /// The number that the shell sees.
    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    /// The meaning of a number that another qft says; one that this version does not know is a failure.
    fn of_code(code: u8) -> Self {
        let known =
            [Self::Usage, Self::SomeFailed, Self::Unreachable, Self::Untrusted, Self::Unverified, Self::Refused];
        known.into_iter().find(|exit| exit.code() == code).unwrap_or(Self::Failed)
    }

    /// Whether a signal asked for it.
    pub(crate) fn is_asked_for(self) -> bool {
        matches!(self, Self::HungUp | Self::Interrupted | Self::Terminated)
    }

    /// The exit code of an error of any room.
    pub(crate) fn of_error(error: &anyhow::Error) -> Self {
        for cause in error.chain() {
            if let Some(complaint) = cause.downcast_ref::<Complaint>() {
                return complaint.exit();
            }
            if let Some(error) = cause.downcast_ref::<SshError>() {
                return Self::of_ssh(error);
            }
            match cause.downcast_ref::<Error>() {
                // The words were right; what they name is not there.
                Some(Error::Remote { failure, .. }) if failure.status == Status::NotFound => return Self::Failed,
                Some(error) => return Self::of_fault(error.fault()),
                None => {}
            }
            if cause.is::<TicketError>() {
                return Self::Usage;
            }
            if let Some(error) = cause.downcast_ref::<CredentialError>() {
                return if error.is_exposed() { Self::Untrusted } else { Self::Usage };
            }
            let home = match cause.downcast_ref() {
                Some(IdentityError::Home(home)) => Some(home),
                Some(_) => return Self::Untrusted,
                None => cause.downcast_ref(),
            };
            if home.is_some_and(HomeError::is_distrust) {
                return Self::Untrusted;
            }
        }
        Self::Failed
    }

    fn of_ssh(error: &SshError) -> Self {
        match error {
            SshError::NotTrusted { .. } => Self::Untrusted,
            SshError::Far { code, .. } => Self::of_code(*code),
            SshError::OtherVersion { .. } | SshError::TooOld { .. } => Self::Refused,
            SshError::NoSsh { .. }
            | SshError::NotConnected { .. }
            | SshError::NoQft { .. }
            | SshError::Ended { .. }
            | SshError::Silent { .. }
            | SshError::Gone { .. }
            | SshError::Blocked { .. } => Self::Unreachable,
        }
    }

    fn of_fault(fault: Fault) -> Self {
        match fault {
            Fault::Ours | Fault::Peer | Fault::Disk => Self::Failed,
            Fault::Network => Self::Unreachable,
            Fault::Usage => Self::Usage,
            Fault::Trust => Self::Untrusted,
            Fault::Refused => Self::Refused,
            Fault::Cancelled => Self::Interrupted,
        }
    }

    /// The exit code of a job that ran to its end. `made` of its done names are directories and links; `planned` files
    /// would be moved, in a dry run.
    ///
    /// Content that did not verify outweighs everything else: nobody may overlook it.
    pub(crate) fn of_report(report: &JobReport, made: u64, planned: u64) -> Self {
        if report.failed == 0 {
            return Self::Done;
        }
        let mut statuses = report.failures.iter().map(|(_, failure)| failure.status);
        if statuses.clone().any(|status| status == Status::VerifyFailed) {
            return Self::Unverified;
        }
        let nothing_came = report.done.saturating_sub(made) + report.skipped + planned == 0;
        // This end's own disk, full or read-only, has no part in what the remote refused.
        let is_by_peer = report.failed_by_peer == report.failed;
        let all_refused = is_by_peer && !report.failures.is_empty() && statuses.all(is_refusal);
        match (nothing_came, all_refused) {
            (false, _) => Self::SomeFailed,
            (true, true) => Self::Refused,
            (true, false) => Self::Failed,
        }
    }
}

/// Whether the other side does not know this machine's key.
pub(crate) fn is_not_enrolled(error: &anyhow::Error) -> bool {
    let refused = |cause: &(dyn std::error::Error + 'static)| match cause.downcast_ref() {
        Some(Error::Transport(TransportError::Refused { code })) => *code == CloseCode::NotAuthorised,
        _ => false,
    };
    error.chain().any(refused)
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Whether whoever says this of a file would not take, or give, it.
fn is_refusal(status: Status) -> bool {
    matches!(status, Status::NotAllowed | Status::NoSpace | Status::Exists)
}

/// An error of the command line itself; the text has the cause and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Complaint {
    /// The arguments make no sense, alone or together.
    #[error("{0}")]
    Usage(String),
    /// The remote is not known here, and no machine has that name.
    #[error("{0}")]
    Unknown(String),
    /// Nothing answers where no server was known, and another way may lead there.
    #[error("{0}")]
    Unreachable(String),
    /// The remote has another key than it should have, or one that nobody vouched for. The only text of several lines.
    #[error("{0}")]
    Untrusted(String),
    /// The user stopped it.
    #[error("interrupted")]
    Interrupted(StopSignal),
}

impl Complaint {
    /// A mistake in the arguments.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::Usage(text.into())
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::Usage,
            Self::Unreachable(_) | Self::Unknown(_) => Exit::Unreachable,
            Self::Untrusted(_) => Exit::Untrusted,
            Self::Interrupted(stop) => stop.exit(),
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, anyhow};

    use super::*;
    use crate::protocol::message::Failure;

    const DONE: u64 = 3;

    fn report(statuses: &[Status]) -> JobReport {
        let failures: Vec<_> = statuses
            .iter()
            .map(|status| ("name".to_owned(), Failure { status: *status, detail: String::new() }))
            .collect();
        let failed = failures.len() as u64;
        JobReport { done: DONE, failed, failed_by_peer: failed, failures, ..JobReport::default() }
    }

    #[test]
    fn a_report_without_failures_is_zero() {
        assert_eq!(Exit::of_report(&report(&[]), 0, 0), Exit::Done);
    }

    #[test]
    fn failures_of_many_kinds_are_three() {
        for statuses in [&[Status::NotFound][..], &[Status::NoSpace, Status::ReadFailed], &[Status::Cancelled]] {
            assert_eq!(Exit::of_report(&report(statuses), 0, 0), Exit::SomeFailed, "{statuses:?}");
        }
    }

    #[test]
    fn refusals_alone_are_seven_but_only_where_the_remote_has_said_so() {
        let refusals = report(&[Status::Exists, Status::NotAllowed, Status::NoSpace]);
        assert_eq!(Exit::of_report(&refusals, DONE, 0), Exit::Refused);
        assert_eq!(Exit::of_report(&refusals, DONE - 1, 0), Exit::SomeFailed, "a file came");
        for failed_by_peer in 0..refusals.failed {
            let ours = JobReport { failed_by_peer, ..refusals.clone() };
            assert_eq!(Exit::of_report(&ours, DONE, 0), Exit::Failed, "the disk is this one");
        }
    }

    #[test]
    fn content_that_does_not_verify_outweighs_the_rest() {
        let statuses = report(&[Status::NotFound, Status::VerifyFailed, Status::NoSpace]);
        assert_eq!(Exit::of_report(&statuses, 0, 0), Exit::Unverified);
    }

    #[test]
    fn where_nothing_is_done_it_failed_and_failures_that_were_only_counted_are_no_refusal() {
        let report = JobReport { failed: 4, ..JobReport::default() };
        assert_eq!(Exit::of_report(&report, 0, 0), Exit::Failed);
        assert_eq!(Exit::of_report(&report, 0, 1), Exit::SomeFailed, "a dry run");
        assert_eq!(Exit::of_report(&JobReport { skipped: 1, ..report }, 0, 0), Exit::SomeFailed);
    }

    #[test]
    fn every_fault_has_its_code() {
        let table = [
            (Fault::Ours, 1),
            (Fault::Peer, 1),
            (Fault::Disk, 1),
            (Fault::Usage, 2),
            (Fault::Network, 4),
            (Fault::Trust, 5),
            (Fault::Refused, 7),
            (Fault::Cancelled, 130),
        ];
        for (fault, code) in table {
            assert_eq!(Exit::of_fault(fault).code(), code, "{fault:?}");
        }
    }

    #[test]
    fn an_exit_code_comes_back_from_its_number_unless_it_says_that_all_is_well() {
        assert_eq!(Exit::of_code(Exit::Refused.code()), Exit::Refused);
        for odd in [0, 1, 99, 129, 130, 143] {
            assert_eq!(Exit::of_code(odd), Exit::Failed);
        }
    }

    #[test]
    fn a_home_that_cannot_be_made_is_a_failure_and_one_that_others_can_write_to_no_home_to_trust() {
        let made = HomeError::Unmade { path: "/x".into(), source: std::io::ErrorKind::PermissionDenied.into() };
        let shared = HomeError::Writable { path: "/x".into(), mode: 0o777 };
        for (home, exit) in [(made, Exit::Failed), (shared, Exit::Untrusted)] {
            assert_eq!(Exit::of_error(&anyhow!(IdentityError::Home(home)).context("the identity")), exit);
        }
    }

    #[test]
    fn a_complaint_keeps_its_code_under_context() {
        let error = anyhow!(Complaint::usage("no")).context("reading the arguments");
        assert_eq!(Exit::of_error(&error), Exit::Usage);
        let unknown: anyhow::Error = Err::<(), _>(Complaint::Unknown("who".into())).context("asking").unwrap_err();
        assert_eq!(Exit::of_error(&unknown), Exit::Unreachable);
        let failure = |status| Failure { status, detail: String::new() };
        let remote = |status| anyhow!(Error::Remote { name: b"x".to_vec(), failure: failure(status) });
        assert_eq!(Exit::of_error(&remote(Status::NotFound)), Exit::Failed);
        assert_eq!(Exit::of_error(&remote(Status::NotAllowed)), Exit::Refused);
        assert_eq!(Exit::of_error(&anyhow!("disk on fire")), Exit::Failed);
    }
}
