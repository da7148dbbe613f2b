//! The tokens of principals other than the user: instances, resources, workloads, federated users.
//!
//! Owns what their tokens claim; knows nothing of how a principal proves what it is. Invariant: the
//! token binds the key that it is issued for, and has the life of the policy in force.

use super::super::clock;
use super::super::signature::PublicKey;
use super::super::state_dir;
use super::super::token::{self, Claims, ResourceClaims};
use super::{AUDIENCE, Authenticator, ISSUER, PrincipalKind};
use std::io;
use std::time::SystemTime;

/// The principal that a token is issued to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PrincipalSubject {
    pub kind: PrincipalKind,
    /// The OCID of its tenancy.
    pub tenancy: String,
    /// For an instance the SHA-1 of its certificate: pairs of upper-case hexadecimal digits.
    pub fingerprint: Option<String>,
}

impl PrincipalSubject {
    /// A principal of this kind in the tenancy that the server serves.
    pub(crate) fn local(kind: PrincipalKind) -> PrincipalSubject {
        PrincipalSubject { kind, tenancy: state_dir::TENANCY.to_owned(), fingerprint: None }
    }

    /// The claims `sub`, `ptype` and `ttype`.
    fn names(&self) -> (&'static str, &'static str, &'static str) {
        match self.kind {
            PrincipalKind::User | PrincipalKind::FederatedUser => {
                (state_dir::USER, "user", "login")
            }
            PrincipalKind::Instance => (state_dir::INSTANCE, "instance", "x509"),
            PrincipalKind::Resource => (state_dir::RESOURCE, "resource", "x509"),
            PrincipalKind::Workload => (state_dir::WORKLOAD, "workload", "x509"),
        }
    }

    fn claims(&self, padding: String) -> ResourceClaims {
        let tenancy = || Some(self.tenancy.clone());
        let compartment = || Some(state_dir::COMPARTMENT.to_owned());
        match self.kind {
            PrincipalKind::User | PrincipalKind::FederatedUser => ResourceClaims::default(),
            PrincipalKind::Instance => ResourceClaims {
                opc_certtype: Some("instance".to_owned()),
                opc_instance: Some(state_dir::INSTANCE.to_owned()),
                opc_compartment: compartment(),
                opc_tenant: tenancy(),
                opc_tag: Some(format!("V3,{},{padding}", self.tenancy)),
                fprint: self.fingerprint.clone(),
                ..ResourceClaims::default()
            },
            PrincipalKind::Resource => ResourceClaims {
                opc_certtype: Some("resource".to_owned()),
                res_type: Some("fnfunc".to_owned()),
                res_tenant: tenancy(),
                res_compartment: compartment(),
                ..ResourceClaims::default()
            },
            PrincipalKind::Workload => ResourceClaims {
                res_type: Some("workload".to_owned()),
                res_tenant: tenancy(),
                res_compartment: compartment(),
                ..ResourceClaims::default()
            },
        }
    }
}

impl Authenticator {
    /// Issues the token of a principal of the server's tenancy for `key`. Fails if the issuer's key
    /// cannot sign.
    pub(crate) fn issue_principal(
        &self,
        kind: PrincipalKind,
        key: &PublicKey,
        now: SystemTime,
    ) -> io::Result<String> {
        self.issue_to(&PrincipalSubject::local(kind), key, now)
    }

    /// Issues the token of `subject` for `key`, with the lifetime `TokenPolicy::principal`. Fails if
    /// the issuer's key cannot sign.
    pub(crate) fn issue_to(
        &self,
        subject: &PrincipalSubject,
        key: &PublicKey,
        now: SystemTime,
    ) -> io::Result<String> {
        let (sub, ptype, ttype) = subject.names();
        let iat = clock::seconds(now);
        let (jti, padding, lifetime) = {
            let mut state = self.state();
            (state.next_token_id(), state.padding(), state.policy.principal)
        };
        self.issuer.sign(&Claims {
            sub: sub.to_owned(),
            tenant: subject.tenancy.clone(),
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            jti,
            ptype: ptype.to_owned(),
            ttype: ttype.to_owned(),
            iat,
            exp: iat.saturating_add(lifetime.as_secs().max(1)),
            jwk: token::jwk(key),
            session: None,
            resource: subject.claims(padding),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::clock::Clock;
    use super::super::super::response::ErrorResponse;
    use super::super::super::signature::{SignedHead, signed_text};
    use super::super::super::state_dir::{ApiKey, StateDir};
    use super::super::{Caller, KeyKind, RefreshMode, TargetService, TokenPolicy};
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use hyper::HeaderMap;
    use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
    use rsa::pkcs8::{DecodePrivateKey, EncodePrivateKey};
    use std::time::Duration;

    const KINDS: [PrincipalKind; 4] = [
        PrincipalKind::Instance,
        PrincipalKind::Resource,
        PrincipalKind::Workload,
        PrincipalKind::FederatedUser,
    ];

    fn authenticator(dir: &std::path::Path) -> Authenticator {
        let policy = TokenPolicy {
            token: Duration::from_secs(3600),
            principal: Duration::from_secs(30),
            delegation: Duration::from_secs(20),
            delegation_grace: Duration::from_secs(5),
            session: Duration::from_secs(86_400),
            refresh: RefreshMode::Normal,
            grace: None,
            padding: 100,
        };
        Authenticator::open(StateDir::new(dir).unwrap(), policy, SystemTime::now()).unwrap()
    }

    /// A published key.
    fn key() -> RsaKeyPair {
        let key = rsa::PrivateKey::from_pkcs8_pem(include_str!("../testkey.pem")).unwrap();
        RsaKeyPair::from_pkcs8(key.to_pkcs8_der().unwrap().as_bytes()).unwrap()
    }

    /// Whom a GET with this token, signed by `key`, is from.
    fn get(
        authenticator: &Authenticator,
        token: &str,
        key: &RsaKeyPair,
        clock: &Clock,
    ) -> Result<Caller, ErrorResponse> {
        let mut headers = HeaderMap::new();
        headers.insert("date", clock::http(clock.now()).parse().unwrap());
        headers.insert("host", "127.0.0.1".parse().unwrap());
        let list = "date (request-target) host";
        let names: Vec<String> = list.split(' ').map(str::to_owned).collect();
        let head = SignedHead { method: "GET", target: "/n", headers: &headers };
        let text = signed_text(&names, &head).unwrap();
        let mut signature = vec![0; key.public().modulus_len()];
        let random = ring::rand::SystemRandom::new();
        key.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature).unwrap();
        let authorization = format!(
            r#"Signature algorithm="rsa-sha256",headers="{list}",keyId="ST${token}",signature="{}",version="1""#,
            STANDARD.encode(signature)
        );
        headers.insert("authorization", authorization.parse().unwrap());
        let head = SignedHead { method: "GET", target: "/n", headers: &headers };
        authenticator.authenticate(&head, TargetService::Storage, clock)
    }

    #[test]
    fn a_principals_token_is_accepted_with_its_own_key_until_it_expires() {
        let dir = tempfile::tempdir().unwrap();
        let authenticator = authenticator(dir.path());
        let pem = ApiKey::from_pem(include_str!("../testkey.pem")).unwrap();
        let other = ApiKey::shared().unwrap();
        for kind in KINDS {
            let clock = Clock::default();
            let token = authenticator.issue_principal(kind, &pem.public, clock.now()).unwrap();
            let caller = get(&authenticator, &token, &key(), &clock).unwrap();
            assert_eq!((caller.kind, caller.principal()), (KeyKind::SecurityToken, kind));
            let foreign = authenticator.issue_principal(kind, &other.public, clock.now()).unwrap();
            assert_eq!(get(&authenticator, &foreign, &key(), &clock).unwrap_err().status, 401);
            clock.advance(31);
            assert_eq!(get(&authenticator, &token, &key(), &clock).unwrap_err().status, 401);
            let refreshed = authenticator.refresh(&caller, &token, SystemTime::now());
            assert_eq!(refreshed.unwrap_err().status, 401);
        }
    }

    #[test]
    fn claims_have_the_names_and_types_of_the_service() {
        let dir = tempfile::tempdir().unwrap();
        let authenticator = authenticator(dir.path());
        let pem = ApiKey::from_pem(include_str!("../testkey.pem")).unwrap();
        let read = |kind| -> serde_json::Value {
            let now = SystemTime::now();
            let token = authenticator.issue_principal(kind, &pem.public, now).unwrap();
            let body = token.split('.').nth(1).unwrap();
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).unwrap()).unwrap()
        };
        let instance = read(PrincipalKind::Instance);
        for (name, value) in [
            ("sub", state_dir::INSTANCE),
            ("opc-instance", state_dir::INSTANCE),
            ("opc-compartment", state_dir::COMPARTMENT),
            ("tenant", state_dir::TENANCY),
            ("opc-tenant", state_dir::TENANCY),
            ("opc-certtype", "instance"),
            ("ptype", "instance"),
            ("ttype", "x509"),
            ("aud", "oci"),
            ("iss", "authService.oracle.com"),
        ] {
            assert_eq!(instance[name], value, "{name}");
        }
        assert_eq!(instance["exp"].as_u64().unwrap() - instance["iat"].as_u64().unwrap(), 30);
        assert!(instance["jwk"].as_str().unwrap().contains(r#""kty":"RSA""#));
        assert!(instance.get("sess_exp").is_none());
        for kind in [PrincipalKind::Resource, PrincipalKind::Workload] {
            let claims = read(kind);
            assert_eq!(claims["res_tenant"], state_dir::TENANCY);
            assert_eq!(claims["res_compartment"], state_dir::COMPARTMENT);
            assert!(claims.get("opc-instance").is_none());
        }
    }
}
