//! Routing: from the request line to the operation that it names.
//!
//! Pure. Owns the table of paths; knows nothing of what an operation does. It decodes each segment
//! of the raw target once: `%2F` and `/` in an object name mean the same, empty segments are kept,
//! `+` is a plus. Invariant: a request that is not in the table is an error.

use super::operation::Operation;
use super::par_route::{self, ParUse, Rewritten};
use super::par_secret;
use super::response::ErrorResponse;
use percent_encoding::percent_decode_str;

/// The decoded query parameters in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Parses a raw query; fails with 400 if it is not UTF-8.
    pub fn parse(raw: &str) -> Result<Query, ErrorResponse> {
        let mut pairs = Vec::new();
        for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            pairs.push((decode(name)?, decode(value)?));
        }
        Ok(Query(pairs))
    }

    /// Sets the first value of a parameter.
    pub fn set(&mut self, name: &str, value: &str) {
        self.0.insert(0, (name.to_owned(), value.to_owned()));
    }

    /// All parameters in their order.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The first value of a parameter.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The value of a parameter as a number; fails with 400 if it is none.
    pub fn number(&self, name: &str) -> Result<Option<u64>, ErrorResponse> {
        let Some(text) = self.value(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| {
            ErrorResponse::invalid_parameter(format!(
                "The parameter '{name}' is not a number: '{text}'"
            ))
        })
    }
}

/// The operation and the resource that a request names. Names are decoded, and empty where the path
/// has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub operation: Operation,
    pub namespace: String,
    pub bucket: String,
    pub object: String,
    pub query: Query,
    /// Present for a request through a pre-authenticated request.
    pub par: Option<ParUse>,
}

impl Target {
    /// The part number in the query, if there is one that can be parsed.
    pub fn part(&self) -> Option<u32> {
        self.query.value("uploadPartNum")?.parse().ok()
    }
}

/// Routes `method` and the raw request target (path and query). Fails with 404 for an unknown path,
/// 405 for an unknown method and 400 for a target that is not UTF-8.
pub fn route(method: &str, target: &str) -> Result<Target, ErrorResponse> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut query = Query::parse(query)?;
    if let Some(found) = route_metadata(method, path) {
        let (namespace, bucket, object) = (String::new(), String::new(), String::new());
        return Ok(Target { operation: found?, namespace, bucket, object, query, par: None });
    }
    if !par_route::is_par_path(path) {
        return route_path(method, path, query);
    }
    let unknown = || ErrorResponse::not_found(&par_secret::masked(path));
    let Rewritten { par, path, query: pairs } = par_route::rewrite(path).ok_or_else(unknown)?;
    for (name, value) in pairs {
        query.set(&name, &value);
    }
    let target = route_path(method, &path, query)?;
    Ok(Target { par: Some(par), ..target })
}

/// Routes the path of a signed request.
fn route_path(method: &str, path: &str, query: Query) -> Result<Target, ErrorResponse> {
    // At most seven segments, the first empty: all after `/o/`, `/u/` or `/p/` is the object's name
    // or the id, with slashes.
    let mut segments = path.splitn(7, '/');
    if segments.next() != Some("") {
        return Err(ErrorResponse::not_found(path));
    }
    let segments: Vec<&str> = segments.collect();
    let Some((operation, namespace, bucket, object)) = find_operation(method, &segments) else {
        return Err(if is_known_path(&segments) {
            ErrorResponse::method_not_allowed(method)
        } else {
            ErrorResponse::not_found(path)
        });
    };
    let found = Target {
        operation,
        namespace: decode(namespace)?,
        bucket: decode(bucket)?,
        object: decode(object)?,
        query,
        par: None,
    };
    let names_an_object = matches!(segments.as_slice(), ["n", _, "b", _, "o" | "u", _]);
    let lacks_bucket = operation.names_a_bucket() && found.bucket.is_empty();
    if lacks_bucket || names_an_object && found.object.is_empty() {
        return Err(ErrorResponse::not_found(path));
    }
    Ok(found)
}

/// The operation of a path of the metadata service, in which repeated slashes count as one; `None`
/// for any other path. Fails with 404 below `/opc/v1`, which is off, and for an unknown path.
fn route_metadata(method: &str, path: &str) -> Option<Result<Operation, ErrorResponse>> {
    use Operation::*;
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let ["opc", rest @ ..] = segments.as_slice() else { return None };
    let operation = match rest {
        ["v2", "instance"] => GetMetadataInstance,
        ["v2", "instance", "region"] => GetMetadataRegion,
        ["v2", "instance", "regionInfo"] => GetMetadataRegionInfo,
        ["v2", "instance", "canonicalRegionName"] => GetMetadataCanonicalRegionName,
        ["v2", "instance", "id"] => GetMetadataInstanceId,
        ["v2", "identity", "cert.pem"] => GetMetadataCertificate,
        ["v2", "identity", "key.pem"] => GetMetadataKey,
        ["v2", "identity", "intermediate.pem"] => GetMetadataIntermediate,
        _ => return Some(Err(ErrorResponse::not_found(path))),
    };
    let allowed = method == "GET";
    Some(if allowed { Ok(operation) } else { Err(ErrorResponse::method_not_allowed(method)) })
}

/// The operation, with the raw names of namespace, bucket and object, of a method and the segments
/// of a path.
fn find_operation<'a>(
    method: &str,
    segments: &[&'a str],
) -> Option<(Operation, &'a str, &'a str, &'a str)> {
    use Operation::*;
    Some(match (method, segments) {
        ("POST", ["v1", "authentication", "refresh"]) => (RefreshToken, "", "", ""),
        ("POST", ["v1", "token", "upst", "actions", "GenerateUpst"]) => (GenerateToken, "", "", ""),
        ("GET", ["v1", "oauth2", "authorize"]) => (AuthorizeLogin, "", "", ""),
        ("POST", ["v1", "x509"]) => (FederateInstance, "", "", ""),
        ("POST", ["resourcePrincipalSessionTokens"]) => (GetWorkloadToken, "", "", ""),
        ("POST", ["oauth2", "v1", "token"]) => (ExchangeToken, "", "", ""),
        ("GET", ["20180711", api, id]) if is_resource_api(api) => (GetResourceToken, "", "", id),
        ("POST", ["v1", "resourcePrincipalSessionToken"]) => (GetResourceSessionToken, "", "", ""),
        ("GET", ["n"] | ["n", ""]) => (GetNamespace, "", "", ""),
        ("GET", ["n", ns, "b"] | ["n", ns, "b", ""]) => (ListBuckets, ns, "", ""),
        ("POST", ["n", ns, "b"] | ["n", ns, "b", ""]) => (CreateBucket, ns, "", ""),
        ("GET", ["n", ns, "b", b] | ["n", ns, "b", b, ""]) => (GetBucket, ns, b, ""),
        ("HEAD", ["n", ns, "b", b] | ["n", ns, "b", b, ""]) => (HeadBucket, ns, b, ""),
        ("DELETE", ["n", ns, "b", b] | ["n", ns, "b", b, ""]) => (DeleteBucket, ns, b, ""),
        ("GET", ["n", ns, "b", b, "o"]) => (ListObjects, ns, b, ""),
        ("PUT", ["n", ns, "b", b, "o", o]) => (PutObject, ns, b, o),
        ("GET", ["n", ns, "b", b, "o", o]) => (GetObject, ns, b, o),
        ("HEAD", ["n", ns, "b", b, "o", o]) => (HeadObject, ns, b, o),
        ("DELETE", ["n", ns, "b", b, "o", o]) => (DeleteObject, ns, b, o),
        ("POST", ["n", ns, "b", b, "actions", "restoreObjects"]) => (RestoreObjects, ns, b, ""),
        ("POST", ["n", ns, "b", b, "u"]) => (CreateMultipartUpload, ns, b, ""),
        ("GET", ["n", ns, "b", b, "u"]) => (ListMultipartUploads, ns, b, ""),
        ("PUT", ["n", ns, "b", b, "u", o]) => (UploadPart, ns, b, o),
        ("GET", ["n", ns, "b", b, "u", o]) => (ListMultipartUploadParts, ns, b, o),
        ("POST", ["n", ns, "b", b, "u", o]) => (CommitMultipartUpload, ns, b, o),
        ("DELETE", ["n", ns, "b", b, "u", o]) => (AbortMultipartUpload, ns, b, o),
        ("POST", ["n", ns, "b", b, "p"] | ["n", ns, "b", b, "p", ""]) => {
            (CreatePreauthenticatedRequest, ns, b, "")
        }
        ("GET", ["n", ns, "b", b, "p"] | ["n", ns, "b", b, "p", ""]) => {
            (ListPreauthenticatedRequests, ns, b, "")
        }
        ("GET", ["n", ns, "b", b, "p", id]) => (GetPreauthenticatedRequest, ns, b, id),
        ("DELETE", ["n", ns, "b", b, "p", id]) => (DeletePreauthenticatedRequest, ns, b, id),
        _ => return None,
    })
}

/// Whether the path's name is one under which a resource gets the first of its tokens.
fn is_resource_api(name: &str) -> bool {
    matches!(
        name,
        "resourcePrincipalToken" | "resourcePrincipalTokenV2" | "resourcePrincipalTokenV212"
    )
}

/// Whether some method is allowed for this path.
fn is_known_path(segments: &[&str]) -> bool {
    matches!(
        segments,
        ["n"]
            | ["n", ""]
            | ["n", _, "b"]
            | ["n", _, "b", ""]
            | ["n", _, "b", _]
            | ["n", _, "b", _, ""]
            | ["n", _, "b", _, "o" | "u" | "p"]
            | ["n", _, "b", _, "o" | "u" | "p", _]
            | ["v1", "authentication", "refresh"]
            | ["v1", "oauth2", "authorize"]
            | ["v1", "x509"]
            | ["resourcePrincipalSessionTokens"]
            | ["oauth2", "v1", "token"]
            | ["v1", "resourcePrincipalSessionToken"]
    )
}

fn decode(raw: &str) -> Result<String, ErrorResponse> {
    percent_decode_str(raw)
        .decode_utf8()
        .map(|text| text.into_owned())
        .map_err(|_| ErrorResponse::invalid_parameter("The request target is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(target: &str) -> String {
        route("PUT", target).unwrap().object
    }

    #[test]
    fn an_encoded_and_a_raw_slash_name_the_same_object() {
        assert_eq!(object("/n/ns/b/bk/o/a%2Fb%2Fc"), "a/b/c");
        assert_eq!(object("/n/ns/b/bk/o/a/b/c"), "a/b/c");
    }

    #[test]
    fn empty_segments_are_kept_and_names_decoded_once() {
        assert_eq!(object("/n/ns/b/bk/o//a//Object_1/"), "/a//Object_1/");
        assert_eq!(object("/n/ns/b/bk/o/%2541+%20"), "%41+ ");
        assert_eq!(object("/n/ns/b/bk/o/%2E%2E"), "..");
        assert_eq!(object("/n/ns/b/bk/o/dir%20a%2F%C3%B6%2B%26x.bin"), "dir a/\u{f6}+&x.bin");
    }

    #[test]
    fn a_slash_may_follow_the_namespaces_and_buckets_but_no_empty_name() {
        let operation = |method, target| route(method, target).map(|found| found.operation);
        assert_eq!(operation("GET", "/n/"), Ok(Operation::GetNamespace));
        assert_eq!(operation("GET", "/n/ns/b/"), Ok(Operation::ListBuckets));
        assert_eq!(operation("GET", "/n/ns/b/bk/"), Ok(Operation::GetBucket));
        assert_eq!(operation("HEAD", "/n/ns/b/bk/"), Ok(Operation::HeadBucket));
        assert_eq!(operation("DELETE", "/n/ns/b/bk/"), Ok(Operation::DeleteBucket));
        assert_eq!(operation("GET", "/n/ns/b//").unwrap_err().status, 404);
        assert_eq!(operation("GET", "/n/ns/b/bk/o/").unwrap_err().status, 404);
    }

    #[test]
    fn a_part_number_is_read_from_the_query() {
        let target = route("PUT", "/n/ns/b/bk/u/o?uploadId=a%2Db&uploadPartNum=7").unwrap();
        assert_eq!(target.operation, Operation::UploadPart);
        assert_eq!(target.part(), Some(7));
        assert_eq!(target.query.value("uploadId"), Some("a-b"));
    }

    #[test]
    fn a_path_with_a_secret_names_the_same_and_has_no_operation_of_its_own() {
        let found = route("PUT", "/p/S/n/ns/b/bk/u/a%2Fb/id/u-1/7?uploadId=other").unwrap();
        assert_eq!((found.operation, found.object.as_str()), (Operation::UploadPart, "a/b"));
        assert_eq!((found.part(), found.query.value("uploadId")), (Some(7), Some("u-1")));
        assert!(found.par.unwrap().names_upload);
        let list = route("GET", "/p/S/n/ns/b/bk/o/?prefix=x").unwrap();
        assert_eq!(
            (list.operation, list.query.value("prefix")),
            (Operation::ListObjects, Some("x"))
        );
        let error = route("GET", "/p/SECRET/n/ns/b/bk").unwrap_err();
        assert!(error.status == 404 && !error.message.contains("SECRET"), "{error:?}");
        assert_eq!(route("PUT", "/p/S/n/ns/b/bk/o/").unwrap_err().status, 405);
    }

    #[test]
    fn ids_of_pre_authenticated_requests_hold_slashes() {
        let found = route("DELETE", "/n/ns/b/bk/p/a/b%3D:x").unwrap();
        assert_eq!(found.operation, Operation::DeletePreauthenticatedRequest);
        assert_eq!(found.object, "a/b=:x");
        let created = route("POST", "/n/ns/b/bk/p/").unwrap();
        assert_eq!(created.operation, Operation::CreatePreauthenticatedRequest);
    }

    #[test]
    fn the_metadata_service_collapses_slashes_and_has_no_first_version() {
        let operation = |target| route("GET", target).map(|found| found.operation);
        assert_eq!(operation("/opc/v2//instance/region"), Ok(Operation::GetMetadataRegion));
        assert_eq!(operation("//opc/v2/identity//key.pem"), Ok(Operation::GetMetadataKey));
        assert_eq!(operation("/opc/v2/instance/"), Ok(Operation::GetMetadataInstance));
        for unknown in ["/opc/v1/instance/region", "/opc/v2/instance/shape", "/opc"] {
            assert_eq!(operation(unknown).unwrap_err().status, 404, "{unknown}");
        }
        assert_eq!(route("PUT", "/opc/v2/instance/id").unwrap_err().status, 405);
        assert_eq!(object("/n/ns/b/bk/o//opc/v2/instance/id"), "/opc/v2/instance/id");
    }

    #[test]
    fn what_is_not_in_the_table_is_an_error() {
        for (method, target, status) in [
            ("GET", "/", 404),
            ("GET", "/v2/n", 404),
            ("GET", "/n/ns/b/bk/x/o", 404),
            ("GET", "/n/ns/b/bk/o/", 404),
            ("PATCH", "/n/ns/b/bk/o/a", 405),
            ("POST", "/n/ns/b/bk/o/a", 405),
            ("PUT", "/n", 405),
            ("GET", "/n/ns/b/bk/o/%ff", 400),
            ("GET", "http://elsewhere/n", 404),
        ] {
            let error = route(method, target).unwrap_err();
            assert_eq!(error.status, status, "{method} {target}");
        }
    }
}
