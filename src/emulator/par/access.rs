//! What a pre-authenticated request allows: access types, listing, prefixes.
//!
//! Pure. Owns the record of a pre-authenticated request; knows no secret but its hash. Invariant: no
//! access type allows a request on an object of another name or outside the prefix.

use super::super::operation::Operation;
use super::super::par_secret::SecretHash;
use super::options::ParOptions;
use serde::{Deserialize, Serialize};

/// What the holder of the URL may do, named as in the service's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccessType {
    /// One object is read.
    ObjectRead,
    /// One object is stored.
    ObjectWrite,
    /// One object is read and stored.
    ObjectReadWrite,
    /// The objects of the bucket, or those with a prefix, are read.
    AnyObjectRead,
    /// Objects of the bucket, or with a prefix, are stored.
    AnyObjectWrite,
    /// Objects of the bucket, or with a prefix, are read and stored.
    AnyObjectReadWrite,
}

impl AccessType {
    /// Whether it is for one object, and not for a bucket or a prefix.
    pub fn is_for_one_object(self) -> bool {
        use AccessType::*;
        matches!(self, ObjectRead | ObjectWrite | ObjectReadWrite)
    }

    /// Whether objects can be read.
    pub fn reads(self) -> bool {
        !matches!(self, AccessType::ObjectWrite | AccessType::AnyObjectWrite)
    }

    /// Whether objects can be stored.
    pub fn writes(self) -> bool {
        !matches!(self, AccessType::ObjectRead | AccessType::AnyObjectRead)
    }
}

/// Whether the holder of the URL may list objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ListingAction {
    /// Listing is refused.
    Deny,
    /// The objects that can be read can be listed.
    ListObjects,
}

/// One pre-authenticated request. Times are in milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ParRecord {
    pub id: String,
    pub name: String,
    pub bucket: String,
    /// The object, or the prefix; `None` for a whole bucket.
    pub object_name: Option<String>,
    pub access: AccessType,
    pub listing: Option<ListingAction>,
    pub created: u64,
    pub expires: u64,
    pub secret: SecretHash,
}

impl ParRecord {
    /// Whether the name is the object's, or has the prefix.
    pub(crate) fn covers(&self, name: &str) -> bool {
        let named = self.object_name.as_deref();
        if self.access.is_for_one_object() {
            named == Some(name)
        } else {
            name.starts_with(named.unwrap_or_default())
        }
    }

    /// Whether an operation on this bucket and object is allowed; `object` is empty for a list.
    pub(crate) fn allows(
        &self,
        operation: Operation,
        bucket: &str,
        object: &str,
        options: &ParOptions,
    ) -> bool {
        use Operation::*;
        let covered = bucket == self.bucket && self.covers(object);
        match operation {
            GetObject => covered && self.access.reads(),
            HeadObject => covered && (self.access.reads() || options.head_write_only),
            PutObject
            | CreateMultipartUpload
            | UploadPart
            | ListMultipartUploadParts
            | CommitMultipartUpload
            | AbortMultipartUpload => covered && self.access.writes(),
            ListObjects => {
                bucket == self.bucket
                    && !self.access.is_for_one_object()
                    && self.listing == Some(ListingAction::ListObjects)
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(access: AccessType, object_name: Option<&str>) -> ParRecord {
        ParRecord {
            id: "id".to_owned(),
            name: "n".to_owned(),
            bucket: "demo".to_owned(),
            object_name: object_name.map(str::to_owned),
            access,
            listing: Some(ListingAction::ListObjects),
            created: 0,
            expires: 1,
            secret: SecretHash::of("s"),
        }
    }

    #[test]
    fn each_access_type_allows_what_its_name_promises_and_no_other_name() {
        use AccessType::*;
        use Operation::*;
        for access in [
            ObjectRead,
            ObjectWrite,
            ObjectReadWrite,
            AnyObjectRead,
            AnyObjectWrite,
            AnyObjectReadWrite,
        ] {
            let par = record(access, Some("a/b"));
            let allows =
                |operation, object| par.allows(operation, "demo", object, &ParOptions::default());
            for object in ["a/b", "a/bc", "a", ""] {
                let covered = if access.is_for_one_object() {
                    object == "a/b"
                } else {
                    object.starts_with("a/b")
                };
                for write in [PutObject, CreateMultipartUpload, CommitMultipartUpload] {
                    assert_eq!(allows(write, object), covered && access.writes(), "{access:?}");
                }
                for read in [GetObject, HeadObject] {
                    assert_eq!(allows(read, object), covered && access.reads(), "{access:?}");
                }
                assert!(!allows(DeleteObject, object) && !allows(RestoreObjects, object));
            }
            assert_eq!(allows(ListObjects, ""), !access.is_for_one_object(), "{access:?}");
            assert!(!par.allows(PutObject, "backups", "a/b", &ParOptions::default()));
        }
        let silent = ParRecord { listing: None, ..record(AnyObjectRead, None) };
        assert!(!silent.allows(ListObjects, "demo", "", &ParOptions::default()));
    }

    #[test]
    fn head_on_a_write_only_one_depends_on_the_setting() {
        let par = record(AccessType::ObjectWrite, Some("x"));
        let options = ParOptions { head_write_only: true, ..ParOptions::default() };
        assert!(!par.allows(Operation::HeadObject, "demo", "x", &ParOptions::default()));
        assert!(par.allows(Operation::HeadObject, "demo", "x", &options));
        assert!(!par.allows(Operation::GetObject, "demo", "x", &options));
    }
}
