//! Tokens of a resource: versions 2.1.x, whose key signs, and 1.1, for which the instance signs.
//!
//! Owns the order of the two requests. Must not know where the variables come from. Invariant: both
//! requests of an issue are signed by the same key.

use std::sync::Arc;

use super::instance::InstanceIssuer;
use super::{IssueContext, IssueError, issued, session_key};
use crate::auth::profile::{Identity, ResourceKey, ResourceKeyVersion, ResourceTokenService};
use crate::auth::session::credential_files;
use crate::auth::session::key_and_token::KeyAndToken;
use crate::auth::session::transport::Route;
use proto::endpoint::Endpoint;
use proto::error::Error;
use proto::key::Key;
use proto::principal::resource::{self, ResourceSigner, ResourceVersion};
use proto::principal::{SessionKey, oke};
use proto::sign::KeyId;

const RESOURCE_SERVICE: &str = "the resource's token service";
const AUTH_SERVICE: &str = "the auth service";

/// Issues the tokens of a resource.
pub(in crate::auth::session) struct ResourceIssuer {
    /// The instance that signs for version 1.1; `None` for the others.
    pub(super) instance: Option<InstanceIssuer>,
    service: ResourceTokenService,
    /// The auth service of the configured region, for the second request.
    auth: Option<Endpoint>,
    kind: Kind,
}

enum Kind {
    /// Version 1.1, with the id of the resource if it is not that of the instance.
    OfInstance { resource_id: Option<String> },
    /// Version 2.1.x.
    OfKey(Box<ResourceKey>),
}

impl ResourceIssuer {
    pub(super) fn of_key(key: &ResourceKey, identity: &Identity) -> ResourceIssuer {
        ResourceIssuer {
            instance: None,
            service: key.service.clone(),
            auth: identity.auth.clone(),
            kind: Kind::OfKey(Box::new(key.clone())),
        }
    }

    pub(super) fn of_instance(
        instance: InstanceIssuer,
        service: ResourceTokenService,
        resource_id: Option<String>,
        identity: &Identity,
    ) -> ResourceIssuer {
        ResourceIssuer {
            instance: Some(instance),
            service,
            auth: identity.auth.clone(),
            kind: Kind::OfInstance { resource_id },
        }
    }

    /// A key and a token for it. Fails if a service does not answer or refuses, or the key of the
    /// resource is unusable.
    pub(super) async fn issue(&self, context: IssueContext<'_>) -> Result<KeyAndToken, IssueError> {
        match (&self.kind, &self.instance) {
            (Kind::OfKey(key), _) => self.issue_by_key(context, key).await,
            (Kind::OfInstance { resource_id }, Some(instance)) => {
                // The instance is of the tenancy of the host, which need not be the resource's.
                let by_instance = IssueContext { tenancy: None, ..context };
                let signer = instance.issue(by_instance).await?;
                let id = match resource_id {
                    Some(id) => id.clone(),
                    None => instance.instance_id(by_instance).await?,
                };
                let auth = match self.session_token_service() {
                    Some(auth) => auth.clone(),
                    None => instance.region(by_instance).await?.auth(),
                };
                let path = ResourceVersion::V1_1
                    .token_path(self.service.path.as_deref(), &id)
                    .map_err(IssueError::needs_change)?;
                let session_key = session_key().await?;
                let signer = Signer { key_id: &signer.key_id, key: &signer.key, context: None };
                self.request(context, &signer, &path, &auth, &session_key).await
            }
            // `of_instance` sets the instance.
            (Kind::OfInstance { .. }, None) => Err(IssueError::needs_change(Error::usage(
                "a resource principal of version 1.1 needs an instance",
            ))),
        }
    }

    async fn issue_by_key(
        &self,
        context: IssueContext<'_>,
        resource: &ResourceKey,
    ) -> Result<KeyAndToken, IssueError> {
        let key = credential_files::read_resource_key(&resource.key, resource.passphrase.as_ref())?;
        let (version, tenancy, security_context) = match &resource.version {
            ResourceKeyVersion::V2_1 => (ResourceVersion::V2_1, "", None),
            ResourceKeyVersion::V2_1_1 { tenancy } => {
                (ResourceVersion::V2_1_1, tenancy.as_str(), None)
            }
            ResourceKeyVersion::V2_1_2 { tenancy, security_context } => {
                (ResourceVersion::V2_1_2, tenancy.as_str(), Some(security_context.as_str()))
            }
        };
        let id = &resource.resource_id;
        let key_id = version.key_id(tenancy, id).ok_or_else(|| {
            IssueError::needs_change(Error::usage("a resource principal of version 1.1 has no key"))
        })?;
        let auth = self.session_token_service().cloned().ok_or_else(|| {
            IssueError::needs_change(
                Error::usage("no region names the auth service of the resource principal")
                    .with_hint(
                        "set OCI_RESOURCE_PRINCIPAL_REGION or OCI_RESOURCE_PRINCIPAL_RPST_ENDPOINT",
                    ),
            )
        })?;
        let path = version
            .token_path(self.service.path.as_deref(), id)
            .map_err(IssueError::needs_change)?;
        let signer = Signer { key_id: &key_id, key: &key, context: security_context };
        let session_key = SessionKey::of(Arc::clone(&key));
        self.request(context, &signer, &path, &auth, &session_key).await
    }

    fn session_token_service(&self) -> Option<&Endpoint> {
        self.service.session_token.as_ref().or(self.auth.as_ref())
    }

    /// The two requests.
    async fn request(
        &self,
        context: IssueContext<'_>,
        signer: &Signer<'_>,
        path: &str,
        auth: &Endpoint,
        session_key: &SessionKey,
    ) -> Result<KeyAndToken, IssueError> {
        let request_id = oke::request_id(&mut fastrand::Rng::new());
        // The date is that of each request, since the first response may correct the clock.
        let endpoint = &self.service.resource_token;
        let date = context.date();
        let call = signer.at(&date, &request_id).tokens_call(endpoint, path, signer.context);
        let reply = context.send(RESOURCE_SERVICE, endpoint, Route::Service, call).await?;
        let tokens = resource::tokens(&reply)?;
        let date = context.date();
        let call = signer.at(&date, &request_id).session_token_call(auth, &tokens, session_key);
        let reply = context.send(AUTH_SERVICE, auth, Route::Service, call).await?;
        let token = resource::session_token(&reply, &tokens, session_key)?;
        Ok(issued(session_key, token))
    }
}

/// What signs both requests.
struct Signer<'a> {
    key_id: &'a KeyId,
    key: &'a Key,
    /// `OCI_RESOURCE_PRINCIPAL_SECURITY_CONTEXT`
    context: Option<&'a str>,
}

impl<'a> Signer<'a> {
    fn at(&self, date: &'a str, request_id: &'a str) -> ResourceSigner<'a> {
        ResourceSigner { key_id: self.key_id, key: self.key, date, request_id }
    }
}
