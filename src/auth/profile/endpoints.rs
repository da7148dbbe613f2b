//! The endpoints of Object Storage and of the auth service.
//!
//! Owns the order of the settings that name a region. Must not know how requests are signed.
//! Invariant: an endpoint that is given is used; of a region beside it only one that a variable names can be an
//! error.

use super::config::{self, ProfileSettings};
use crate::auth::environment::Environment;
use crate::auth::options::{AuthMode, ServiceOptions, Setting};
use proto::endpoint::{Endpoint, ObjectStorage};
use proto::error::Error;
use proto::region::Region;

/// The variable with the region of a resource or a pod.
const RESOURCE_REGION: &str = "OCI_RESOURCE_PRINCIPAL_REGION";

/// The endpoints of Object Storage and of the auth service.
pub(super) struct EndpointLookup {
    pub region: Option<String>,
    /// `None` if neither an endpoint nor a region is configured.
    pub object_storage: Option<ObjectStorage>,
    pub auth: Option<Endpoint>,
    pub warnings: Vec<String>,
}

impl EndpointLookup {
    /// Fails if an endpoint is malformed, or a region that is needed.
    pub(super) fn find(
        mode: AuthMode,
        options: &ServiceOptions,
        environment: &Environment,
        settings: &ProfileSettings,
    ) -> Result<EndpointLookup, Error> {
        let parse = |url: &Option<Setting>| {
            let url = url.as_ref();
            url.map(|url| Endpoint::parse(&url.origin, &url.text)).transpose()
        };
        let endpoint = parse(&options.endpoint)?;
        let auth_endpoint = parse(&options.auth_endpoint)?;
        let sources = config::region_sources(environment);
        sources.check_variable()?;
        let named = region(mode, options, environment, settings);
        let by_variable = named.as_ref().is_some_and(|it| it.origin.starts_with("OCI"));
        let found = named.map(|region| {
            let Setting { text, origin } = region;
            Region::find(&text, &sources)
                .map_err(|error| Error { message: format!("{origin}: {}", error.message), ..error })
        });
        let (region, mut warnings) = match found {
            Some(Ok(region)) => (Some(region), Vec::new()),
            // An endpoint is given: the region is not needed. A variable is never passed over.
            Some(Err(error)) if endpoint.is_some() && !by_variable => {
                (None, vec![format!("the region is left out of account: {}", error.message)])
            }
            Some(Err(error)) => return Err(error),
            None => (None, Vec::new()),
        };
        let object_storage = match (endpoint, &region) {
            (Some(endpoint), _) => Some(ObjectStorage::at(endpoint)),
            (None, Some(region)) => Some(region.object_storage(&options.host_variant)?),
            (None, None) => None,
        };
        let auth = auth_endpoint.or_else(|| region.as_ref().map(Region::auth));
        let region = region.map(|region| {
            warnings.extend(region.warnings);
            region.name
        });
        Ok(EndpointLookup { region, object_storage, auth, warnings })
    }
}

/// The name of the region, from the options, the profile, `OCI_REGION` or, for a resource or a pod,
/// its own variable.
fn region(
    mode: AuthMode,
    options: &ServiceOptions,
    environment: &Environment,
    settings: &ProfileSettings,
) -> Option<Setting> {
    if let Some(region) = &options.region {
        return Some(region.clone());
    }
    let variable = |name: &str| Some(Setting::new(environment.var(name)?, name));
    let of_resource = matches!(mode, AuthMode::ResourcePrincipal | AuthMode::OkeWorkloadIdentity);
    let in_profile = settings.value("region").map(|name| Setting::new(name, settings.to_string()));
    in_profile
        .or_else(|| variable("OCI_REGION"))
        .or_else(|| variable(RESOURCE_REGION).filter(|_| of_resource))
}

/// Whether an option, a variable or an endpoint makes Object Storage known without a config file.
pub(super) fn is_known_in_a_pod(options: &ServiceOptions, environment: &Environment) -> bool {
    options.region.is_some()
        || options.endpoint.is_some()
        || environment.var("OCI_REGION").is_some()
        || environment.var(RESOURCE_REGION).is_some()
}

/// The error for a region that no setting names.
pub(super) fn no_region(mode: AuthMode, settings: &ProfileSettings) -> Error {
    let hint = match mode {
        AuthMode::ResourcePrincipal | AuthMode::OkeWorkloadIdentity => {
            format!("set {RESOURCE_REGION}, or give --region")
        }
        _ if settings.file.is_none() => "set OCI_CLI_REGION, or give --region".to_owned(),
        _ => "add region = us-ashburn-1 or the like to it, or give --region".to_owned(),
    };
    Error::usage(format!("{settings} has no region")).with_hint(hint)
}
