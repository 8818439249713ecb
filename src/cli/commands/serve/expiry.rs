//! The end of the server's own certificate, of which its operator hears before the clients do.

use std::path::Path;
use std::time::{Duration, SystemTime};

use super::output::ServeOutput;
use crate::cli::ui::text::shown;
use crate::keys::certificate::{Description, Validity, describe_file};

/// Time between two warnings: a log is read now and then.
pub(super) const DAILY: Duration = Duration::from_secs(24 * 60 * 60);

/// The certificate in `--cert` that ends first: one of its chain is as good as its own.
pub(super) struct Expiry {
    file: String,
    certificate: Description,
}

impl Expiry {
    /// Reads the file once more for its dates; `None` when they cannot be read, which is no reason not to serve.
    pub(super) fn read(file: &Path) -> Option<Self> {
        let found = describe_file(file).inspect_err(|error| tracing::warn!(%error, "its end is not watched")).ok()?;
        let certificate = found.into_iter().min_by_key(|certificate| certificate.ends)?;
        Some(Self { file: shown(&file.display().to_string()).into_owned(), certificate })
    }

    /// Says that the end is near, or past.
    pub(super) fn warn(&self, out: &mut ServeOutput, now: SystemTime) {
        if let Some(warning) = self.warning(now) {
            out.warn(&warning);
        }
    }

    fn warning(&self, now: SystemTime) -> Option<String> {
        let (file, until) = (&self.file, &self.certificate.until);
        let end = match self.certificate.ending(now) {
            Validity::Far => return None,
            Validity::Soon { days: 1 } => format!("ends within a day, on {until}; clients with --ca will then refuse"),
            Validity::Soon { days } => {
                format!("ends within {days} days, on {until}; clients with --ca will then refuse")
            }
            Validity::Over => format!("ended on {until}; clients with --ca refuse"),
        };
        Some(format!(
            "warning: the certificate in {file} {end} this server\n  \
            make another one where the CA is (qft cert issue DIR NAME --force), copy it, send this server SIGHUP"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::certificate::new_authority;

    #[test]
    fn the_warning_comes_a_week_ahead_and_stays() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = dir.path().join("own.crt");
        std::fs::write(&file, new_authority("ours", 30).expect("made").certificate).expect("written");
        let expiry = Expiry::read(&file).expect("a certificate");
        let (ends, day) = (expiry.certificate.ends, DAILY);
        assert_eq!(expiry.warning(ends - 8 * day), None);
        for (now, words) in [
            (ends - 7 * day, "ends within 7 days, on "),
            (ends - day, "ends within a day, on "),
            (ends + day, "ended on "),
            (ends + 400 * day, "ended on "),
        ] {
            let warning = expiry.warning(now).expect("a warning");
            assert!(warning.contains(words) && warning.contains(&expiry.certificate.until), "{warning}");
            assert!(warning.contains("own.crt") && warning.contains("qft cert issue"), "{warning}");
        }
    }

    #[test]
    fn of_a_chain_the_first_to_end_is_watched() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = dir.path().join("chain.crt");
        let made = |days| new_authority("ours", days).expect("made").certificate;
        std::fs::write(&file, [made(30), made(3), made(90)].concat()).expect("written");
        let expiry = Expiry::read(&file).expect("certificates");
        let warning = expiry.warning(SystemTime::now()).expect("a warning");
        assert!(warning.contains("within 3 days"), "{warning}");
        assert!(Expiry::read(&dir.path().join("missing.crt")).is_none());
    }
}
