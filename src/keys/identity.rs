//! This installation's key: made once, kept private, shown to every peer.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ED25519};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};

use super::credential::{self, CredentialError};
use super::fingerprint::Fingerprint;
use super::home::{self, HomeError, Privacy};
use super::provider::provider;
use crate::absent::is_absent;

/// The private key, as PKCS#8 PEM, in the home directory.
const KEY_FILE: &str = "identity.key";
/// The name in every certificate. Peers are known by key, so it says nothing about the machine.
pub(crate) const CERTIFICATE_NAME: &str = "qft.invalid";
/// The common name in every certificate.
const COMMON_NAME: &str = "qft";
/// Sets what is derived for restarts apart from anything else that may ever be derived from a key.
const RESTART_LABEL: &[u8] = b"qft restart seed";

/// The object that is looked for in the files of a certificate.
const CERTIFICATE: &str = "certificate";
/// The object that is looked for in the files of a certificate.
const PRIVATE_KEY: &str = "private key";

/// Why there is no usable identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The home directory or the key file cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The key file holds no key. It is left as it is.
    #[error("{} holds no usable private key ({reason}); restore it from a backup, or move it away to get a new \
        identity (peers must then be told again)", path.display())]
    Damaged {
        /// The key file, which is left as it is.
        path: PathBuf,
        /// The reason, in words for people.
        reason: String,
    },
    /// No key or certificate could be made.
    #[error("cannot make a key: {0}")]
    Generate(String),
}

/// A private key and a certificate for it, signed by itself.
///
/// The certificate is issued again at every start and does not expire: peers compare the key alone.
#[derive(Clone)]
pub struct Identity {
    certified: Arc<CertifiedKey>,
    fingerprint: Fingerprint,
    restart_seed: [u8; 32],
}

impl Identity {
    /// Reads the key in `home`, or makes an Ed25519 key there when there is none.
    ///
    /// Processes that start at once agree on one key. Blocks on the disk for a moment.
    ///
    /// # Errors
    /// A key file that others can read or that holds no key is refused and left alone; see [`IdentityError`].
    pub fn load_or_create(home: &Path) -> Result<Self, IdentityError> {
        home::prepare(home)?;
        let path = home.join(KEY_FILE);
        if let Some((pem, _)) = home::read(&path, Privacy::Secret)? {
            return Self::from_pem(&pem, &path);
        }
        let lock = home::lock(home)?;
        // Another process may have made the key while this one waited for the lock.
        if let Some((pem, _)) = home::read(&path, Privacy::Secret)? {
            return Self::from_pem(&pem, &path);
        }
        let key = generate()?;
        let identity = Self::from_key(&key)?;
        lock.replace(KEY_FILE, &key.serialize_pem())?;
        Ok(identity)
    }

    /// The same, where whoever is shown it need not know it: without a key, and in a home that cannot be written, one that
    /// is kept nowhere serves as well. Then why it is not kept is given, too.
    ///
    /// # Errors
    /// As [`Identity::load_or_create`]. A key that is there is used, or is the error.
    pub fn load_or_ephemeral(home: &Path) -> Result<(Self, Option<HomeError>), IdentityError> {
        let is_missing = || home.join(KEY_FILE).symlink_metadata().is_err_and(|error| is_absent(&error));
        match Self::load_or_create(home) {
            Err(IdentityError::Home(why @ (HomeError::Unmade { .. } | HomeError::Io { .. }))) if is_missing() => {
                Ok((Self::ephemeral()?, Some(why)))
            }
            identity => identity.map(|identity| (identity, None)),
        }
    }

    /// A new identity that is kept nowhere: for one run and for tests.
    ///
    /// # Errors
    /// [`IdentityError::Generate`] when the system has no randomness to give.
    pub fn ephemeral() -> Result<Self, IdentityError> {
        Self::from_key(&generate()?)
    }

    /// A certificate that an authority issued, with what there is of the chain above it, and its key: PEM files.
    ///
    /// Peers that go by keys know it by the fingerprint of this key.
    ///
    /// # Errors
    /// [`CredentialError`]; a key that others can read is refused.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, CredentialError> {
        let text = credential::read(certificate, Privacy::List, CERTIFICATE)?;
        let chain: Vec<CertificateDer<'static>> = credential::pem_items(&text, certificate, CERTIFICATE)?;
        let text = credential::read(key, Privacy::Secret, PRIVATE_KEY)?;
        let damaged =
            |path: &Path, what, reason: String| CredentialError::Damaged { path: path.to_owned(), what, reason };
        let private = credential::pem_items::<PrivateKeyDer<'static>>(&text, key, PRIVATE_KEY)?.swap_remove(0);
        let restart_seed = restart_seed(private.secret_der());
        let fingerprint = Fingerprint::of_certificate(&chain[0])
            .map_err(|error| damaged(certificate, CERTIFICATE, error.to_string()))?;
        let certified = CertifiedKey::from_der(chain, private, &provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                CredentialError::Mismatch { certificate: certificate.to_owned(), key: key.to_owned() }
            }
            error => damaged(key, PRIVATE_KEY, error.to_string()),
        })?;
        Ok(Self { certified: Arc::new(certified), fingerprint, restart_seed })
    }

    /// The fingerprint by which peers know this installation.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The certificate that peers are shown.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certified.cert[0]
    }

    /// Certificate and key as `rustls` takes them.
    pub fn certified_key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }

    /// Bytes that only this identity's holder knows and that outlive the process: with them a server that was
    /// started again can tell the clients of its predecessor that their connections are gone.
    pub(crate) fn restart_seed(&self) -> &[u8; 32] {
        &self.restart_seed
    }

    fn from_pem(pem: &str, path: &Path) -> Result<Self, IdentityError> {
        let damaged = |reason: String| IdentityError::Damaged { path: path.to_owned(), reason };
        let key = KeyPair::from_pem(pem).map_err(|error| damaged(error.to_string()))?;
        Self::from_key(&key).map_err(|error| damaged(error.to_string()))
    }

    fn from_key(key: &KeyPair) -> Result<Self, IdentityError> {
        let certificate = issue(key).map_err(|error| IdentityError::Generate(error.to_string()))?;
        let der = key.serialize_der();
        let restart_seed = restart_seed(&der);
        let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(der));
        let refused = |error: rustls::Error| IdentityError::Generate(error.to_string());
        let fingerprint = Fingerprint::of_certificate(&certificate).map_err(refused)?;
        let certified = CertifiedKey::from_der(vec![certificate], private, &provider()).map_err(refused)?;
        Ok(Self { certified: Arc::new(certified), fingerprint, restart_seed })
    }

    /// Shows the certificate of one identity and signs with the key of another: what an impostor would do.
    #[cfg(test)]
    pub(crate) fn forged(shown: &Self, held: &Self) -> Self {
        let certified = CertifiedKey::new(shown.certified.cert.clone(), Arc::clone(&held.certified.key));
        Self { certified: Arc::new(certified), fingerprint: shown.fingerprint, restart_seed: held.restart_seed }
    }
}

fn restart_seed(key: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(RESTART_LABEL).chain_update(key).finalize().into()
}

fn generate() -> Result<KeyPair, IdentityError> {
    KeyPair::generate_for(&PKCS_ED25519).map_err(|error| IdentityError::Generate(error.to_string()))
}

fn issue(key: &KeyPair) -> Result<CertificateDer<'static>, rcgen::Error> {
    let mut params = CertificateParams::new(vec![CERTIFICATE_NAME.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, COMMON_NAME);
    Ok(params.self_signed(key)?.der().clone())
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn the_key_made_on_first_use_is_private_and_found_again() {
        let outer = tempfile::tempdir().unwrap();
        let home = outer.path().join("qft");
        let first = Identity::load_or_create(&home).unwrap();
        let second = Identity::load_or_create(&home).unwrap();
        assert_eq!(first.fingerprint(), second.fingerprint());
        assert_eq!(fs::metadata(home.join(KEY_FILE)).unwrap().mode() & 0o777, 0o600);
        assert_ne!(first.fingerprint(), Identity::ephemeral().unwrap().fingerprint());
    }

    #[test]
    fn many_that_start_at_once_agree_on_one_key() {
        const STARTERS: usize = 8;
        let home = tempfile::tempdir().unwrap();
        let start = Barrier::new(STARTERS);
        let run = || {
            start.wait();
            Identity::load_or_create(home.path()).unwrap().fingerprint()
        };
        let found: Vec<_> = std::thread::scope(|scope| {
            let starters: Vec<_> = (0..STARTERS).map(|_| scope.spawn(run)).collect();
            starters.into_iter().map(|starter| starter.join().unwrap()).collect()
        });
        assert!(found.iter().all(|fingerprint| *fingerprint == found[0]), "{found:?}");
        let kept = Identity::load_or_create(home.path()).unwrap();
        assert_eq!(kept.fingerprint(), found[0], "the key on disk is the one that all of them use");
    }

    #[test]
    fn a_key_that_others_can_read_is_refused_with_the_remedy() {
        let home = tempfile::tempdir().unwrap();
        Identity::load_or_create(home.path()).unwrap();
        let path = home.path().join(KEY_FILE);
        for mode in [0o640, 0o604, 0o620] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let refusal = Identity::load_or_create(home.path()).unwrap_err();
            assert!(refusal.to_string().contains(&format!("chmod 600 {}", path.display())), "{refusal}");
        }
    }

    #[test]
    fn a_damaged_key_is_refused_and_left_as_it_is() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(KEY_FILE);
        let whole = generate().unwrap().serialize_pem();
        for damaged in ["", "no key\n", &whole[..whole.len() / 2], &whole.replace('M', "N")] {
            fs::write(&path, damaged).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            let refusal = Identity::load_or_create(home.path()).unwrap_err();
            assert!(matches!(refusal, IdentityError::Damaged { .. }), "{refusal}");
            assert_eq!(fs::read_to_string(&path).unwrap(), damaged);
        }
    }

    #[test]
    fn debug_output_holds_no_key() {
        let identity = Identity::ephemeral().unwrap();
        assert_eq!(format!("{identity:?}"), format!("Identity {{ fingerprint: {}, .. }}", identity.fingerprint()));
    }
}
