//! Resource principals, as the variables `OCI_RESOURCE_PRINCIPAL_*` describe them.
//!
//! Owns these variables and their versions. Must not read a file. Invariants: a path is absolute, and
//! a text that is neither an absolute path nor of the form of its value is an error without the text.

use std::path::PathBuf;

use zeroize::Zeroizing;

use super::{instance, parse};
use crate::auth::environment::Environment;
use crate::auth::options::ServiceOptions;
use crate::auth::profile::{
    ResourceKey, ResourceKeyVersion, ResourcePrincipal, ResourceTokenService, TextOrFile, config,
};
use proto::endpoint::Endpoint;
use proto::error::Error;
use proto::principal::resource::{self, ResourceVersion};
use proto::region::Region;

const VERSION: &str = "OCI_RESOURCE_PRINCIPAL_VERSION";
const TOKEN: &str = "OCI_RESOURCE_PRINCIPAL_RPST";
const KEY: &str = "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM";
const PASSPHRASE: &str = "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM_PASSPHRASE";
const RESOURCE_TOKEN_SERVICE: &str = "OCI_RESOURCE_PRINCIPAL_RPT_ENDPOINT";
const SESSION_TOKEN_SERVICE: &str = "OCI_RESOURCE_PRINCIPAL_RPST_ENDPOINT";
const PATH: &str = "OCI_RESOURCE_PRINCIPAL_RPT_PATH";
const INSTANCE_RESOURCE: &str = "OCI_RESOURCE_PRINCIPAL_RPT_ID";
const RESOURCE: &str = "OCI_RESOURCE_PRINCIPAL_RESOURCE_ID";
const TENANCY: &str = "OCI_RESOURCE_PRINCIPAL_TENANCY_ID";
const CONTEXT: &str = "OCI_RESOURCE_PRINCIPAL_SECURITY_CONTEXT";
const REGION: &str = "OCI_RESOURCE_PRINCIPAL_REGION";

const VERSIONS: &str = "2.2, 2.1.2, 2.1.1, 2.1 and 1.1";

/// The versions that exist here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PrincipalVersion {
    /// 2.2, which needs no request.
    TokenAndKey,
    Requests(ResourceVersion),
}

impl PrincipalVersion {
    /// The version in the environment; `None` if the variable is not set. Fails for a version that
    /// does not exist here.
    fn read(environment: &Environment) -> Result<Option<PrincipalVersion>, Error> {
        let Some(text) = environment.var(VERSION).map(str::trim) else { return Ok(None) };
        let error = match (text, ResourceVersion::find(text)) {
            ("2.2", _) => return Ok(Some(PrincipalVersion::TokenAndKey)),
            (_, Some(version)) => return Ok(Some(PrincipalVersion::Requests(version))),
            ("3.0", _) => {
                format!("{VERSION} is 3.0: a resource inside another one is not supported")
            }
            _ => format!("{VERSION} {text:?}: there is no such version"),
        };
        Err(Error::usage(error).with_hint(format!("there are: {VERSIONS}")))
    }

    /// The variables without which there is no principal of this version.
    fn required(self) -> &'static [&'static str] {
        match self {
            PrincipalVersion::TokenAndKey => &[TOKEN, KEY],
            PrincipalVersion::Requests(version) => match version {
                ResourceVersion::V2_1 => &[RESOURCE_TOKEN_SERVICE, RESOURCE, KEY],
                ResourceVersion::V2_1_1 => &[RESOURCE_TOKEN_SERVICE, RESOURCE, TENANCY, KEY],
                ResourceVersion::V2_1_2 => {
                    &[RESOURCE_TOKEN_SERVICE, RESOURCE, TENANCY, CONTEXT, KEY]
                }
                ResourceVersion::V1_1 => &[RESOURCE_TOKEN_SERVICE],
            },
        }
    }
}

/// Whether the environment has a resource principal with all of its variables. Fails for a version
/// that does not exist here.
pub(in crate::auth::profile) fn is_resource_principal(
    environment: &Environment,
) -> Result<bool, Error> {
    let version = PrincipalVersion::read(environment)?;
    let is_set = |variable: &&str| environment.var(variable).is_some();
    Ok(version.is_some_and(|version| version.required().iter().all(is_set)))
}

/// What a resource principal in the environment lacks; `None` if no version is set.
pub(in crate::auth::profile) fn incomplete_resource_principal(
    environment: &Environment,
) -> Option<String> {
    let version = PrincipalVersion::read(environment).ok()??;
    let missing = version.required().iter().find(|name| environment.var(name).is_none())?;
    Some(format!("{VERSION} is {}, but {missing} is not set", environment.var(VERSION)?.trim()))
}

/// The resource principal. Fails if a variable that the version needs is not set or malformed.
pub(super) fn principal(
    options: &ServiceOptions,
    environment: &Environment,
) -> Result<ResourcePrincipal, Error> {
    const HINT: &str =
        "the service that runs a function, a job or a container sets these variables";
    let version = PrincipalVersion::read(environment)?
        .ok_or_else(|| Error::usage(format!("{VERSION} is not set")).with_hint(HINT))?;
    if let Some(lack) = incomplete_resource_principal(environment) {
        return Err(Error::usage(lack).with_hint(HINT));
    }
    let optional = |variable: &str| {
        environment.var(variable).map(|text| resource::checked_id(variable, text)).transpose()
    };
    let required = |variable: &str| optional(variable).map(Option::unwrap_or_default);
    let version = match version {
        PrincipalVersion::Requests(version) => version,
        PrincipalVersion::TokenAndKey => {
            return Ok(ResourcePrincipal::TokenAndKey {
                token: token(environment)?,
                key: key(environment)?,
                passphrase: passphrase(environment),
            });
        }
    };
    let service = services(version, options, environment)?;
    let version = match version {
        ResourceVersion::V2_1 => ResourceKeyVersion::V2_1,
        ResourceVersion::V2_1_1 => ResourceKeyVersion::V2_1_1 { tenancy: required(TENANCY)? },
        ResourceVersion::V2_1_2 => ResourceKeyVersion::V2_1_2 {
            tenancy: required(TENANCY)?,
            security_context: resource::checked_security_context(
                CONTEXT,
                environment.var(CONTEXT).unwrap_or_default(),
            )?,
        },
        ResourceVersion::V1_1 => {
            return Ok(ResourcePrincipal::OfInstance {
                instance: instance(options, environment)?,
                resource: service,
                resource_id: optional(INSTANCE_RESOURCE)?,
            });
        }
    };
    Ok(ResourcePrincipal::ResourceKey(ResourceKey {
        version,
        service,
        resource_id: required(RESOURCE)?,
        key: key(environment)?,
        passphrase: passphrase(environment),
    }))
}

/// The services that issue the tokens. Fails if the address of one is malformed.
fn services(
    version: ResourceVersion,
    options: &ServiceOptions,
    environment: &Environment,
) -> Result<ResourceTokenService, Error> {
    let url = |variable: &str, form: &str| {
        environment.var(variable).map(|text| parse(variable, text, form)).transpose()
    };
    let resource_token = url(RESOURCE_TOKEN_SERVICE, "https://database.REGION.oraclecloud.com")?
        .ok_or_else(|| Error::usage(format!("{RESOURCE_TOKEN_SERVICE} is not set")))?;
    let mut session_token = url(SESSION_TOKEN_SERVICE, "https://auth.REGION.oraclecloud.com")?;
    if session_token.is_none()
        && let Some(endpoint) = &options.auth_endpoint
    {
        session_token = Some(Endpoint::parse(&endpoint.origin, &endpoint.text)?);
    }
    // The resource has a region of its own, which an option for Object Storage does not change. That
    // of an instance comes from its metadata service.
    if session_token.is_none()
        && version != ResourceVersion::V1_1
        && let Some(text) = environment.var(REGION)
    {
        let region = Region::find(text, &config::region_sources(environment))
            .map_err(|error| Error { message: format!("{REGION}: {}", error.message), ..error })?;
        session_token = Some(region.auth());
    }
    let path = environment.var(PATH).map(|path| path.trim().to_owned());
    Ok(ResourceTokenService { resource_token, session_token, path })
}

/// The token: a JWT, or an absolute path.
fn token(environment: &Environment) -> Result<TextOrFile, Error> {
    let in_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=".contains(&byte);
    let is_token = |text: &str| {
        text.split('.').count() == 3
            && text.split('.').all(|part| !part.is_empty() && part.bytes().all(in_token))
    };
    text_or_file(environment, TOKEN, "a token", is_token)
}

/// The private key: PEM, or an absolute path.
fn key(environment: &Environment) -> Result<TextOrFile, Error> {
    text_or_file(environment, KEY, "a key in PEM", |text| text.contains("-----BEGIN "))
}

/// The pass phrase: a text, or an absolute path.
fn passphrase(environment: &Environment) -> Option<TextOrFile> {
    let text = environment.var(PASSPHRASE)?;
    Some(match text.starts_with('/') {
        true => TextOrFile::File(PathBuf::from(text)),
        false => TextOrFile::Text { text: Zeroizing::new(text.to_owned()), variable: PASSPHRASE },
    })
}

/// The value of a variable that has the text itself or an absolute path. Fails if it has neither; the
/// error does not show it.
fn text_or_file(
    environment: &Environment,
    variable: &'static str,
    what: &str,
    is_text: impl Fn(&str) -> bool,
) -> Result<TextOrFile, Error> {
    let text = environment.var(variable).unwrap_or_default().trim();
    if text.starts_with('/') {
        return Ok(TextOrFile::File(PathBuf::from(text)));
    }
    if is_text(text) {
        return Ok(TextOrFile::Text { text: Zeroizing::new(text.to_owned()), variable });
    }
    Err(Error::usage(format!("{variable} is neither {what} nor an absolute path"))
        .with_hint("the path of a file begins with /"))
}
