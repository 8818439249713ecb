//! The one list of codes that end a connection or a stream.

/// Why a connection was closed or a stream was reset, as the QUIC application error code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum CloseCode {
    /// All work is done.
    Done = 0,
    /// The peer broke the protocol: a message out of order, a bad frame, a range outside its file.
    Violation = 1,
    /// The client's key is not enrolled here and its invite, if any, is not valid.
    NotAuthorised = 2,
    /// The invite was valid once: it has been used or has expired.
    InviteSpent = 3,
    /// The peer said nothing for too long while something was owed.
    Timeout = 4,
    /// This end is shutting down; what was begun can be resumed.
    GoingAway = 5,
    /// The user stopped the job.
    Cancelled = 6,
    /// Too many connections or too much at once; try again later.
    Busy = 7,
    /// The peers share no protocol version or need a feature that the other lacks.
    Unsupported = 8,
    /// This end failed in a way that is its own fault.
    Internal = 9,
    /// The source changed or could not be read while it was sent (streams only).
    SourceFailed = 10,
    /// The disk refused the content (streams only).
    DiskFailed = 11,
    /// The client's proof is for another token than the server's.
    WrongToken = 12,
    /// The client's certificate is from the right authority, but its time is over.
    CertificateExpired = 13,
    /// The client's key is not enrolled, and its certificate is not one that the server's authority issued to a client.
    NotCertified = 14,
    /// The server's operator has taken the client's key off the list.
    Revoked = 15,
    /// The client's time on the server's list has ended.
    Expired = 16,
    /// The client's rights on the server were narrowed; a new connection gets the new ones.
    RightsChanged = 17,
    /// The invite was wrong, and so were too many others from the client's address.
    TooManyTries = 18,
    /// The directory that the server serves to the client cannot be used. Told to clients with
    /// [`features::NO_DIRECTORY`](super::features::NO_DIRECTORY); others hear [`Self::Internal`].
    NoDirectory = 19,
}

impl CloseCode {
    /// Every code there is, in the order of their numbers.
    pub const ALL: [Self; 20] = [
        Self::Done,
        Self::Violation,
        Self::NotAuthorised,
        Self::InviteSpent,
        Self::Timeout,
        Self::GoingAway,
        Self::Cancelled,
        Self::Busy,
        Self::Unsupported,
        Self::Internal,
        Self::SourceFailed,
        Self::DiskFailed,
        Self::WrongToken,
        Self::CertificateExpired,
        Self::NotCertified,
        Self::Revoked,
        Self::Expired,
        Self::RightsChanged,
        Self::TooManyTries,
        Self::NoDirectory,
    ];

    /// The number on the wire.
    pub fn code(self) -> u32 {
        self as u32
    }

    /// The meaning of a number from the wire; `None` for one that this version does not know.
    pub fn from_code(code: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|known| u64::from(known.code()) == code)
    }

    /// A word for programs: letters and underscores.
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Violation => "violation",
            Self::NotAuthorised => "not_authorised",
            Self::InviteSpent => "invite_spent",
            Self::Timeout => "timeout",
            Self::GoingAway => "going_away",
            Self::Cancelled => "cancelled",
            Self::Busy => "busy",
            Self::Unsupported => "unsupported",
            Self::Internal => "internal",
            Self::SourceFailed => "source_failed",
            Self::DiskFailed => "disk_failed",
            Self::WrongToken => "wrong_token",
            Self::CertificateExpired => "certificate_expired",
            Self::NotCertified => "not_certified",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::RightsChanged => "rights_changed",
            Self::TooManyTries => "too_many_tries",
            Self::NoDirectory => "no_directory",
        }
    }

    /// What to tell the user: the cause and the remedy, lower case, no full stop.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Violation => "the other side broke the protocol; are both versions the same?",
            Self::NotAuthorised => "this client is not enrolled there; ask for a ticket (qft peers invite)",
            Self::InviteSpent => "the ticket's invite was used or has expired; ask for a new one (qft peers invite)",
            Self::Timeout => "the other side waited too long for an answer",
            Self::GoingAway => "the other side is shutting down; the same command resumes later",
            Self::Cancelled => "stopped by the user on the other side",
            Self::Busy => {
                "the other side has no place for one more client (in all, from this address, or with this key); try again \
                later"
            }
            Self::Unsupported => "no common protocol version; update the older qft",
            Self::Internal => "the other side failed internally; its log says why",
            Self::SourceFailed => "the source could not be read",
            Self::DiskFailed => "the disk refused the content",
            Self::WrongToken => "the server has another token; give both sides the same file (--token-file)",
            Self::CertificateExpired => "this client's certificate has expired; issue a new one (qft cert issue)",
            Self::NotCertified => {
                "this client is not enrolled there and showed no client certificate from the CA that the server trusts \
                (--cert, --key)"
            }
            Self::Revoked => "this client was shut out there; if by mistake, ask to be let in again (qft peers allow)",
            Self::Expired => "this client's time there has ended; ask for more (qft peers allow)",
            Self::RightsChanged => "this client's rights there were changed; the same command continues within them",
            Self::TooManyTries => {
                "too many wrong invites came from this address; wait some minutes and ask for a new ticket"
            }
            Self::NoDirectory => {
                "the directory that is served there cannot be used: it was moved or removed, or another disk was mounted on \
                it; the server's log says what to do"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A new code does not compile until it is here, and then it has to be in `ALL`.
    fn following(code: CloseCode) -> Option<CloseCode> {
        Some(match code {
            CloseCode::Done => CloseCode::Violation,
            CloseCode::Violation => CloseCode::NotAuthorised,
            CloseCode::NotAuthorised => CloseCode::InviteSpent,
            CloseCode::InviteSpent => CloseCode::Timeout,
            CloseCode::Timeout => CloseCode::GoingAway,
            CloseCode::GoingAway => CloseCode::Cancelled,
            CloseCode::Cancelled => CloseCode::Busy,
            CloseCode::Busy => CloseCode::Unsupported,
            CloseCode::Unsupported => CloseCode::Internal,
            CloseCode::Internal => CloseCode::SourceFailed,
            CloseCode::SourceFailed => CloseCode::DiskFailed,
            CloseCode::DiskFailed => CloseCode::WrongToken,
            CloseCode::WrongToken => CloseCode::CertificateExpired,
            CloseCode::CertificateExpired => CloseCode::NotCertified,
            CloseCode::NotCertified => CloseCode::Revoked,
            CloseCode::Revoked => CloseCode::Expired,
            CloseCode::Expired => CloseCode::RightsChanged,
            CloseCode::RightsChanged => CloseCode::TooManyTries,
            CloseCode::TooManyTries => CloseCode::NoDirectory,
            CloseCode::NoDirectory => return None,
        })
    }

    #[test]
    fn every_code_is_listed_once_and_numbered_in_order() {
        let walked: Vec<CloseCode> = std::iter::successors(Some(CloseCode::Done), |code| following(*code)).collect();
        assert_eq!(walked, CloseCode::ALL);
        assert!(walked.iter().zip(0..).all(|(code, number)| code.code() == number));
    }

    #[test]
    fn every_code_comes_back_from_its_number() {
        for code in CloseCode::ALL {
            assert_eq!(CloseCode::from_code(u64::from(code.code())), Some(code));
        }
    }

    #[test]
    fn unknown_numbers_have_no_meaning() {
        let next = CloseCode::ALL.len() as u64;
        for number in [next, u64::from(u32::MAX), 1 << 32, (1 << 32) + 1, u64::MAX] {
            assert_eq!(CloseCode::from_code(number), None, "{number}");
        }
    }

    #[test]
    fn reasons_are_distinct_and_in_house_style() {
        let mut reasons = CloseCode::ALL.map(CloseCode::reason);
        for reason in reasons {
            assert!(reason.starts_with(|c: char| c.is_ascii_lowercase()) && !reason.ends_with('.'), "{reason}");
        }
        reasons.sort_unstable();
        assert!(reasons.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
