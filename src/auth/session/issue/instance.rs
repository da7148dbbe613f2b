//! Tokens of an instance: its certificate is exchanged at the federation service.
//!
//! Owns what is learned of the instance and stays: its region. Must not know what the token is for.
//! Invariant: a request is signed by the key of the certificate that it holds.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::metadata::MetadataService;
use super::{IssueContext, IssueError, Outlook, Stage, issued, session_key};
use crate::auth::profile::{Identity, InstancePrincipal};
use crate::auth::session::key_and_token::KeyAndToken;
use crate::auth::session::transport::Route;
use proto::error::Error;
use proto::key::Key;
use proto::principal::LeafCertificate;
use proto::principal::certificate;
use proto::principal::federation::{self, FederationService, IdentityError, InstanceIdentity};
use proto::principal::metadata::{self, Item, RegionInfo, RegionText};
use proto::region::{Region, RegionSources};

const SERVICE: &str = "the auth service";
/// How often certificate and key are read again if they do not belong together.
const PAIR_READS: u32 = 4;
/// The pause before such a read: the instance replaces both within moments.
const PAIR_INTERVAL: Duration = Duration::from_millis(250);

/// Issues the tokens of the instance.
pub(in crate::auth::session) struct InstanceIssuer {
    metadata: MetadataService,
    federation: Option<FederationService>,
    region_sources: RegionSources,
    region: Mutex<Option<Region>>,
}

/// The certificate of the instance with its key and issuers.
struct Certificates {
    leaf: LeafCertificate,
    key: Key,
    issuers: Vec<String>,
}

impl InstanceIssuer {
    pub(super) fn new(instance: &InstancePrincipal, identity: &Identity) -> InstanceIssuer {
        InstanceIssuer {
            metadata: MetadataService::new(instance.metadata.as_ref()),
            federation: instance.federation.clone(),
            region_sources: identity.region_sources.clone(),
            region: Mutex::new(None),
        }
    }

    /// A new key and a token for it. Fails if the metadata service or the federation service does not
    /// answer or refuses.
    pub(super) async fn issue(&self, context: IssueContext<'_>) -> Result<KeyAndToken, IssueError> {
        let federation = match &self.federation {
            Some(service) => service.clone(),
            None => FederationService::below(self.region(context).await?.auth()),
        };
        // A certificate that is replaced after it was read, or a clock that the first response
        // corrects, costs one 401.
        let mut is_second = false;
        loop {
            let Certificates { leaf, key, issuers } = self.certificates(context).await?;
            let session_key = session_key().await?;
            let identity = InstanceIdentity { leaf: &leaf, leaf_key: &key, issuers: &issuers };
            let call = identity.call(&federation, &session_key, &context.date());
            let reply = context.send(SERVICE, &federation.endpoint, Route::Service, call).await?;
            match federation::token(&reply, &leaf, &session_key) {
                Ok(token) => return Ok(issued(&session_key, token)),
                Err(error) if error.status == 401 && !is_second => is_second = true,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The region of the instance, which is asked for once. Fails if the metadata service does not
    /// answer or names no region.
    pub(super) async fn region(&self, context: IssueContext<'_>) -> Result<Region, IssueError> {
        if let Some(region) = &*self.known_region() {
            return Ok(region.clone());
        }
        let mut reading = self.metadata.read(context);
        let reply = reading.item(Item::Region).await?;
        let unusable = |reason: &str| {
            IssueError::needs_change(Error::credentials(reason).with_hint(
                "check OCI_METADATA_BASE_URL; without a region, --federation-endpoint and --region \
                 or --endpoint name the services",
            ))
        };
        let text = reply.text().filter(|text| RegionText::is_name(text)).ok_or_else(|| {
            unusable("the metadata service answers a text that is no region to /instance/region")
        })?;
        let region = match RegionText::read(text, &self.region_sources) {
            Ok(RegionText::Known(region)) => region,
            Ok(RegionText::NeedsInfo(_)) => {
                let reply = reading.item(Item::RegionInfo).await?;
                let info = RegionInfo::read(&reply.body).map_err(|reason| {
                    unusable(&format!("regionInfo of the metadata service {reason}"))
                })?;
                info.region(&self.region_sources).map_err(IssueError::needs_change)?
            }
            Err(error) => return Err(IssueError::needs_change(error)),
        };
        *self.known_region() = Some(region.clone());
        Ok(region)
    }

    fn known_region(&self) -> MutexGuard<'_, Option<Region>> {
        self.region.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The OCID of the instance. Fails if the metadata service does not answer with one.
    pub(super) async fn instance_id(
        &self,
        context: IssueContext<'_>,
    ) -> Result<String, IssueError> {
        let reply = self.metadata.read(context).item(Item::InstanceId).await?;
        metadata::instance_id(reply.text().unwrap_or_default()).ok_or_else(|| {
            IssueError::needs_change(
                Error::credentials("the metadata service names no OCID of the instance")
                    .with_hint("set OCI_RESOURCE_PRINCIPAL_RPT_ID"),
            )
        })
    }

    /// Certificate, key and issuers that belong together.
    async fn certificates(&self, context: IssueContext<'_>) -> Result<Certificates, IssueError> {
        let mut reads = 1;
        loop {
            let certificates = match self.read_certificates(context).await {
                Ok(certificates) => certificates,
                // The text of a certificate or of the key is damaged, perhaps since it is being
                // replaced. What stays damaged at the start is no metadata service.
                Err(error) if context.stage == Stage::Start => {
                    if error.outlook == Outlook::NeedsChange || reads == PAIR_READS {
                        return Err(IssueError::needs_change(error.error));
                    }
                    reads += 1;
                    tokio::time::sleep(PAIR_INTERVAL).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let identity = InstanceIdentity {
                leaf: &certificates.leaf,
                leaf_key: &certificates.key,
                issuers: &certificates.issuers,
            };
            match identity.check(context.tenancy) {
                Ok(()) => return Ok(certificates),
                Err(IdentityError::TornPair) if reads < PAIR_READS => {
                    reads += 1;
                    tokio::time::sleep(PAIR_INTERVAL).await;
                }
                Err(error @ IdentityError::TornPair) => {
                    return Err(IssueError::new(
                        Error::credentials(error.to_string())
                            .with_hint("the instance replaces both now and then: try again"),
                        Outlook::MaySucceed,
                    ));
                }
                Err(error @ IdentityError::OtherTenancy { .. }) => {
                    return Err(IssueError::needs_change(
                        Error::credentials(error.to_string())
                            .with_hint("a run has one tenancy: start another run"),
                    ));
                }
            }
        }
    }

    async fn read_certificates(
        &self,
        context: IssueContext<'_>,
    ) -> Result<Certificates, IssueError> {
        let unusable = |item: Item, reason: String| {
            let message = format!("{} of the metadata service: {reason}", item.path());
            let error = Error::credentials(message)
                .with_hint("the instance replaces its certificate now and then: try again");
            IssueError::new(error, Outlook::MaySucceed)
        };
        let mut reading = self.metadata.read(context);
        let leaf = reading.item(Item::Certificate).await?;
        let key = reading.item(Item::Key).await?;
        let issuers = reading.item(Item::Issuer).await?;
        Ok(Certificates {
            leaf: LeafCertificate::parse(&leaf.body)
                .map_err(|error| unusable(Item::Certificate, error.to_string()))?,
            key: Key::from_pem(&key.body, None)
                .map_err(|error| unusable(Item::Key, error.to_string()))?,
            issuers: certificate::issuers(&issuers.body)
                .map_err(|error| unusable(Item::Issuer, error.to_string()))?,
        })
    }
}
