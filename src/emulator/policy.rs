//! Authorization: the permissions of the one principal, and the writes that a bucket refuses to
//! all.
//!
//! Pure. Owns the table of operations and permissions. Invariant: a missing permission gets the
//! response of a missing bucket or namespace, as from the service, and comes before the protection
//! of a bucket.

use super::conditions::WriteRestrictions;
use super::operation::Operation;
use super::response::ErrorResponse;
use super::route::Target;
use super::state_dir::NAMESPACE;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A permission, named as in the service's policy reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum Permission {
    /// Storing an object under a new name.
    ObjectCreate,
    /// Replacing an object.
    ObjectOverwrite,
    /// Reading objects.
    ObjectRead,
    /// Reading the properties of objects and lists of them.
    ObjectInspect,
    /// Deleting objects, and aborting uploads.
    ObjectDelete,
    /// Restoring objects from the archive tier.
    ObjectRestore,
    /// Listing buckets, and checking that one exists.
    BucketInspect,
    /// Reading the properties of buckets, and listing uploads.
    BucketRead,
    /// Creating buckets.
    BucketCreate,
    /// Deleting buckets.
    BucketDelete,
    /// Creating, listing and deleting pre-authenticated requests.
    ParManage,
}

use Permission::*;

/// The permissions that the principal has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PermissionSet(BTreeSet<Permission>);

impl Default for PermissionSet {
    fn default() -> PermissionSet {
        PermissionSet::all()
    }
}

impl PermissionSet {
    /// Every permission.
    pub fn all() -> PermissionSet {
        PermissionSet::of([
            ObjectCreate,
            ObjectOverwrite,
            ObjectRead,
            ObjectInspect,
            ObjectDelete,
            ObjectRestore,
            BucketInspect,
            BucketRead,
            BucketCreate,
            BucketDelete,
            ParManage,
        ])
    }

    /// These permissions and no others.
    pub fn of(permissions: impl IntoIterator<Item = Permission>) -> PermissionSet {
        PermissionSet(permissions.into_iter().collect())
    }

    /// Removes one permission.
    pub fn without(mut self, permission: Permission) -> PermissionSet {
        self.0.remove(&permission);
        self
    }

    fn has(&self, permission: Permission) -> bool {
        self.0.contains(&permission)
    }

    /// Whether the operation is allowed; for PutObject, whether it is allowed for a new or an
    /// existing object.
    fn allow(&self, operation: Operation) -> bool {
        use Operation::*;
        let all = |needed: &[Permission]| needed.iter().all(|permission| self.has(*permission));
        match operation {
            PutObject => self.has(ObjectCreate) || self.has(ObjectOverwrite),
            CreateMultipartUpload | UploadPart | CommitMultipartUpload => {
                all(&[ObjectCreate, ObjectOverwrite])
            }
            AbortMultipartUpload | DeleteObject => all(&[ObjectDelete]),
            ListMultipartUploadParts | ListObjects => all(&[ObjectInspect]),
            ListMultipartUploads | GetBucket => all(&[BucketRead]),
            HeadObject => self.has(ObjectRead) || self.has(ObjectInspect),
            GetObject => all(&[ObjectRead]),
            RestoreObjects => all(&[ObjectRestore]),
            HeadBucket | ListBuckets => all(&[BucketInspect]),
            CreateBucket => all(&[BucketCreate]),
            DeleteBucket => all(&[BucketDelete]),
            CreatePreauthenticatedRequest
            | ListPreauthenticatedRequests
            | GetPreauthenticatedRequest
            | DeletePreauthenticatedRequest => all(&[ParManage]),
            // These are not operations of Object Storage, or need no permission.
            _ => true,
        }
    }
}

/// The writes that a bucket refuses whatever the permissions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BucketProtection {
    /// The bucket is the target of a replication: every write is 403 `BucketIsReadonly`.
    #[serde(default)]
    pub read_only: bool,
    /// A retention rule: every change of an existing object is 403 `RetentionRuleViolation`.
    #[serde(default)]
    pub retention: Option<Retention>,
}

impl BucketProtection {
    /// The target of a replication.
    pub fn read_only() -> BucketProtection {
        BucketProtection { read_only: true, retention: None }
    }

    /// A retention rule that refuses multipart uploads from this call on.
    pub fn retention(from: Retention) -> BucketProtection {
        BucketProtection { read_only: false, retention: Some(from) }
    }
}

/// The first call of a multipart upload that a retention rule refuses if the object exists. The
/// service's behaviour is not documented.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retention {
    /// CreateMultipartUpload and all later calls are refused.
    FromCreate,
    /// CommitMultipartUpload is refused, and the calls before it are not.
    FromCommit,
}

/// The permissions of the principal and the protection of buckets, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Policy {
    pub rights: PermissionSet,
    pub buckets: BTreeMap<String, BucketProtection>,
}

impl Policy {
    /// The protection of a bucket; none for a bucket that has no entry.
    pub(crate) fn protection(&self, bucket: &str) -> BucketProtection {
        self.buckets.get(bucket).copied().unwrap_or_default()
    }

    /// Checks what does not depend on an object: fails with 404 if a permission is missing and with
    /// 403 for a write to a read-only bucket.
    pub(crate) fn check_request(&self, target: &Target) -> Result<(), ErrorResponse> {
        use Operation::*;
        let operation = target.operation;
        // The holder of an upload's URL can abort the upload, though no access type allows deleting.
        let needed = match (operation, &target.par) {
            (AbortMultipartUpload, Some(_)) => UploadPart,
            _ => operation,
        };
        if !self.rights.allow(needed) {
            return Err(if operation.names_a_bucket() {
                ErrorResponse::bucket_not_found(&target.bucket, NAMESPACE)
            } else {
                ErrorResponse::namespace_not_found(NAMESPACE)
            });
        }
        let writes = matches!(
            operation,
            PutObject
                | DeleteObject
                | CreateMultipartUpload
                | UploadPart
                | CommitMultipartUpload
                | AbortMultipartUpload
        );
        if writes && self.protection(&target.bucket).read_only {
            let message = format!("The bucket '{}' is read-only", target.bucket);
            return Err(ErrorResponse::new(403, "BucketIsReadonly", message));
        }
        Ok(())
    }

    /// Checks the rights that the creator of a pre-authenticated request for reading or writing gives
    /// away; fails with 404 if one is missing.
    pub(crate) fn check_par(
        &self,
        bucket: &str,
        reads: bool,
        writes: bool,
    ) -> Result<(), ErrorResponse> {
        let missing = |permission| !self.rights.has(permission);
        let lacks_write = writes && (missing(ObjectCreate) || missing(ObjectOverwrite));
        if lacks_write || reads && missing(ObjectRead) {
            return Err(ErrorResponse::bucket_not_found(bucket, NAMESPACE));
        }
        Ok(())
    }

    /// The restrictions that depend on whether the object exists.
    pub(crate) fn write_restrictions(&self, target: &Target) -> WriteRestrictions {
        let missing = |permission| {
            let error = || ErrorResponse::bucket_not_found(&target.bucket, NAMESPACE);
            (!self.rights.has(permission)).then(error)
        };
        let retained = match (self.protection(&target.bucket).retention, target.operation) {
            (None, _) | (Some(Retention::FromCommit), Operation::CreateMultipartUpload) => None,
            (Some(_), _) => Some(ErrorResponse::new(
                403,
                "RetentionRuleViolation",
                format!(
                    "The object '{}' in the bucket '{}' is protected by a retention rule",
                    target.object, target.bucket
                ),
            )),
        };
        match target.operation {
            Operation::PutObject => WriteRestrictions {
                create: missing(ObjectCreate),
                overwrite: missing(ObjectOverwrite),
                retained,
            },
            _ => WriteRestrictions { create: None, overwrite: None, retained },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::conditions::Conditions;
    use super::super::route::route;
    use super::*;

    fn put() -> Target {
        route("PUT", "/n/ns/b/demo/o/x").unwrap()
    }

    fn put_status(
        rights: PermissionSet,
        if_none_match: Option<&str>,
        current: Option<&str>,
    ) -> Result<(), u16> {
        let policy = Policy { rights, buckets: BTreeMap::new() };
        let conditions = Conditions {
            if_none_match: if_none_match.map(str::to_owned),
            restrictions: policy.write_restrictions(&put()),
            ..Conditions::default()
        };
        policy.check_request(&put()).map_err(|error| error.status)?;
        conditions.allow_write(current).map_err(|error| error.status)
    }

    #[test]
    fn a_put_needs_create_for_a_new_name_and_overwrite_over_an_object() {
        let create = || PermissionSet::of([ObjectCreate]);
        assert_eq!(put_status(create(), Some("*"), None), Ok(()));
        assert_eq!(put_status(create(), None, None), Ok(()));
        assert_eq!(put_status(create(), None, Some("e")), Err(404));
        assert_eq!(put_status(create(), Some("*"), Some("e")), Err(412));
        let overwrite = || PermissionSet::of([ObjectOverwrite]);
        assert_eq!(put_status(overwrite(), None, None), Err(404));
        assert_eq!(put_status(overwrite(), None, Some("e")), Ok(()));
        assert_eq!(put_status(overwrite(), Some("*"), Some("e")), Err(404));
        assert_eq!(put_status(PermissionSet::of([]), Some("*"), Some("e")), Err(404));
    }

    #[test]
    fn each_call_needs_what_the_table_says() {
        use Operation::*;
        let sole = |permission| PermissionSet::of([permission]);
        for operation in [CreateMultipartUpload, UploadPart, CommitMultipartUpload] {
            assert!(
                !sole(ObjectCreate).allow(operation) && !sole(ObjectOverwrite).allow(operation)
            );
            assert!(PermissionSet::of([ObjectCreate, ObjectOverwrite]).allow(operation));
        }
        for (operation, needed) in [
            (AbortMultipartUpload, ObjectDelete),
            (DeleteObject, ObjectDelete),
            (ListMultipartUploadParts, ObjectInspect),
            (ListMultipartUploads, BucketRead),
            (GetObject, ObjectRead),
        ] {
            assert!(sole(needed).allow(operation), "{operation:?}");
            assert!(!PermissionSet::all().without(needed).allow(operation), "{operation:?}");
        }
        assert!(sole(ObjectRead).allow(HeadObject) && sole(ObjectInspect).allow(HeadObject));
        assert!(!PermissionSet::all().without(ObjectRead).without(ObjectInspect).allow(HeadObject));
        assert!(PermissionSet::of([]).allow(GetNamespace));
    }

    #[test]
    fn a_retention_rule_comes_before_conditions_and_after_rights() {
        let policy = Policy {
            rights: PermissionSet::of([ObjectCreate]),
            buckets: [("demo".to_owned(), BucketProtection::retention(Retention::FromCommit))]
                .into(),
        };
        let put = |condition: Option<&str>| Conditions {
            if_none_match: condition.map(str::to_owned),
            restrictions: policy.write_restrictions(&put()),
            ..Conditions::default()
        };
        let error = put(Some("*")).allow_write(Some("e")).unwrap_err();
        assert_eq!((error.status, error.code.as_ref()), (403, "RetentionRuleViolation"));
        assert_eq!(put(None).allow_write(Some("e")).unwrap_err().status, 404);
        assert_eq!(put(Some("*")).allow_write(None), Ok(()));
    }
}
