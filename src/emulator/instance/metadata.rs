//! The metadata service's state: which certificate and key an instance has now, and their
//! replacement.
//!
//! Owns the choice of the pair; knows no HTTP. Invariant: certificate and key belong together
//! unless a replacement is torn, which a number of reads ends, or happens between two reads.

use super::super::key_pool;
use super::super::state_dir::{ApiKey, OTHER_TENANCY, TENANCY};
use super::authority::{CertificateAuthority, TrustedIssuer};
use super::options::{InstanceOptions, KeyEncoding};
use pem::{EncodeConfig, LineEnding, Pem};
use serde::Deserialize;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long before its issue a certificate is valid from.
const BACKDATED: Duration = Duration::from_secs(60);

/// When a certificate is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RotationMoment {
    /// Before the next read of `cert.pem` or `key.pem`.
    #[default]
    Now,
    /// When `cert.pem` was read once more, so that a read of `key.pem` after it returns a key that
    /// does not belong to it.
    AfterNextCertificateRead,
}

/// The tenancy that a certificate names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeafTenancy {
    /// The tenancy of the server.
    #[default]
    Local,
    /// A tenancy that has no rights here.
    Other,
}

impl LeafTenancy {
    fn ocid(self) -> &'static str {
        match self {
            LeafTenancy::Local => TENANCY,
            LeafTenancy::Other => OTHER_TENANCY,
        }
    }
}

/// One replacement of the certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rotation {
    /// When the files change.
    pub moment: RotationMoment,
    /// The tenancy that the new certificate names.
    pub tenancy: LeafTenancy,
    /// This many reads of `key.pem` still return the key before it.
    pub torn_reads: u64,
}

/// The metadata service of one instance.
pub(crate) struct MetadataService {
    authority: CertificateAuthority,
    state: Mutex<MetadataState>,
}

struct MetadataState {
    options: InstanceOptions,
    /// The pair in force; made at the first read, since its key takes time to generate.
    leaf: Option<Leaf>,
    /// The key before the last replacement.
    previous: Option<ApiKey>,
    tenancy: LeafTenancy,
    /// Reads of `key.pem` that return the previous key.
    torn_reads: u64,
    /// Reads of `cert.pem` so far.
    reads: u64,
    /// A replacement that waits for its moment.
    waiting: Option<Rotation>,
    /// The place of the next key in the row of keys.
    next_key: usize,
}

struct Leaf {
    certificate: Vec<u8>,
    key: ApiKey,
    /// The time outside of which the leaf is replaced.
    in_use: std::ops::Range<SystemTime>,
}

impl MetadataService {
    /// An instance whose certificate a new authority issues. Fails if the system provides no
    /// randomness.
    pub(crate) fn new(options: InstanceOptions, now: SystemTime) -> io::Result<MetadataService> {
        let state = MetadataState {
            options,
            leaf: None,
            previous: None,
            tenancy: LeafTenancy::Local,
            torn_reads: 0,
            reads: 0,
            waiting: None,
            next_key: 0,
        };
        let authority = CertificateAuthority::generate(now)?;
        Ok(MetadataService { authority, state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, MetadataState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The options in force.
    pub(crate) fn options(&self) -> InstanceOptions {
        self.state().options.clone()
    }

    /// Changes the options, for certificates issued and texts read from now on, and returns them.
    pub(crate) fn set_options(&self, change: impl FnOnce(&mut InstanceOptions)) -> InstanceOptions {
        let mut state = self.state();
        change(&mut state.options);
        state.options.clone()
    }

    /// The root that the certificates chain to.
    pub(crate) fn trust(&self) -> &TrustedIssuer {
        self.authority.trust()
    }

    /// Replaces certificate and key. Blocks while a key is generated; fails if it cannot be.
    pub(crate) fn rotate(&self, rotation: Rotation, now: SystemTime) -> io::Result<()> {
        let mut state = self.state();
        match rotation.moment {
            RotationMoment::Now => self.replace(&mut state, rotation, now),
            RotationMoment::AfterNextCertificateRead => {
                state.waiting = Some(rotation);
                Ok(())
            }
        }
    }

    /// The text of `cert.pem`. Blocks while a key is generated; fails if it cannot be.
    pub(crate) fn certificate(&self, now: SystemTime) -> io::Result<String> {
        let mut state = self.state();
        state.reads += 1;
        let every = state.options.rotate_every.filter(|every| *every > 0);
        let is_due = every.is_some_and(|every| state.reads.is_multiple_of(every));
        let is_old = state.leaf.as_ref().is_some_and(|leaf| !leaf.in_use.contains(&now));
        if is_due || is_old {
            let (tenancy, torn_reads) = (state.tenancy, state.options.torn_reads);
            let rotation = Rotation { moment: RotationMoment::Now, tenancy, torn_reads };
            self.replace(&mut state, rotation, now)?;
        }
        let der = self.leaf(&mut state, now)?.certificate.clone();
        let text = certificate_text(&der, &state.options);
        if let Some(rotation) = state.waiting.take() {
            self.replace(&mut state, rotation, now)?;
        }
        Ok(text)
    }

    /// The text of `key.pem`. Blocks while a key is generated; fails if it cannot be.
    pub(crate) fn key(&self, now: SystemTime) -> io::Result<String> {
        let mut state = self.state();
        let current = self.leaf(&mut state, now)?.key.clone();
        let key = match state.previous.clone().filter(|_| state.torn_reads > 0) {
            Some(previous) => {
                state.torn_reads -= 1;
                previous
            }
            None => current,
        };
        let text = match state.options.key_encoding {
            KeyEncoding::Pkcs1 => key.pkcs1_pem()?,
            KeyEncoding::Pkcs8 => key.pem().to_owned(),
        };
        Ok(with_line_end(&text, &state.options))
    }

    /// The text of `intermediate.pem`.
    pub(crate) fn intermediate(&self) -> String {
        certificate_text(self.authority.intermediate(), &self.state().options)
    }

    /// The leaf in force, made if there is none.
    fn leaf<'a>(&self, state: &'a mut MetadataState, now: SystemTime) -> io::Result<&'a Leaf> {
        let leaf = match state.leaf.take() {
            Some(leaf) => leaf,
            None => self.issue(state, now)?,
        };
        Ok(state.leaf.insert(leaf))
    }

    fn replace(
        &self,
        state: &mut MetadataState,
        rotation: Rotation,
        now: SystemTime,
    ) -> io::Result<()> {
        // A torn read needs a key that was in force before.
        self.leaf(state, now)?;
        state.tenancy = rotation.tenancy;
        let leaf = self.issue(state, now)?;
        state.previous = state.leaf.replace(leaf).map(|leaf| leaf.key);
        state.torn_reads = rotation.torn_reads;
        Ok(())
    }

    fn issue(&self, state: &mut MetadataState, now: SystemTime) -> io::Result<Leaf> {
        let key = key_pool::key(state.next_key)?;
        state.next_key += 1;
        let life = state.options.certificate_life();
        let not_before = now.checked_sub(BACKDATED).unwrap_or(UNIX_EPOCH);
        let subject = state.options.subject.subject(state.tenancy.ocid());
        let certificate =
            self.authority.issue(&subject, &key.public_der()?, not_before, now + life)?;
        Ok(Leaf { certificate, key, in_use: not_before..now + life / 2 })
    }
}

fn certificate_text(der: &[u8], options: &InstanceOptions) -> String {
    let encoding = EncodeConfig::new().set_line_ending(LineEnding::LF);
    with_line_end(&pem::encode_config(&Pem::new("CERTIFICATE", der), encoding), options)
}

/// The text with or without a newline at its end, as the options demand.
fn with_line_end(text: &str, options: &InstanceOptions) -> String {
    let end = if options.final_newline { "\n" } else { "" };
    format!("{}{end}", text.trim_end())
}
