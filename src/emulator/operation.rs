//! The operations of the services that the emulator plays.
//!
//! Pure. Owns their names, which the fault plan and the log use and which are stable, and their
//! groups; knows no path. Invariant: an operation belongs to one service.

use serde::{Deserialize, Serialize};

/// The operations of the service, named as in its API reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Operation {
    GetNamespace,
    ListBuckets,
    CreateBucket,
    GetBucket,
    HeadBucket,
    DeleteBucket,
    ListObjects,
    PutObject,
    GetObject,
    HeadObject,
    DeleteObject,
    RestoreObjects,
    CreateMultipartUpload,
    ListMultipartUploads,
    UploadPart,
    ListMultipartUploadParts,
    CommitMultipartUpload,
    AbortMultipartUpload,
    CreatePreauthenticatedRequest,
    ListPreauthenticatedRequests,
    GetPreauthenticatedRequest,
    DeletePreauthenticatedRequest,
    RefreshToken,
    GenerateToken,
    /// `GET /v1/oauth2/authorize`: the login page of a browser session.
    AuthorizeLogin,
    /// `GET /opc/v2/instance/region` of the metadata service, and so on.
    GetMetadataRegion,
    GetMetadataRegionInfo,
    GetMetadataCanonicalRegionName,
    GetMetadataInstanceId,
    GetMetadataInstance,
    GetMetadataCertificate,
    GetMetadataKey,
    GetMetadataIntermediate,
    /// `POST /v1/x509`: the token of an instance for its certificate.
    FederateInstance,
    /// The token of a pod, from the token service of its cluster.
    GetWorkloadToken,
    /// The token of a user for one from outside, from an identity domain.
    ExchangeToken,
    /// The first of two tokens of a resource, by `GET`.
    GetResourceToken,
    /// The token of a resource with which it signs, by `POST`.
    GetResourceSessionToken,
    /// A request that names no operation; appears in the log only.
    Unknown,
}

impl Operation {
    /// Whether the signature does not cover the body, which can then be of any length.
    pub fn streams_its_body(self) -> bool {
        matches!(self, Operation::PutObject | Operation::UploadPart)
    }

    /// Whether the path names one bucket that has to exist.
    pub fn names_a_bucket(self) -> bool {
        use Operation::*;
        self.is_of_storage() && !matches!(self, GetNamespace | ListBuckets | CreateBucket)
    }

    /// Whether Object Storage provides the operation.
    pub fn is_of_storage(self) -> bool {
        use Operation::*;
        matches!(
            self,
            GetNamespace
                | ListBuckets
                | CreateBucket
                | GetBucket
                | HeadBucket
                | DeleteBucket
                | ListObjects
                | PutObject
                | GetObject
                | HeadObject
                | DeleteObject
                | RestoreObjects
                | CreateMultipartUpload
                | ListMultipartUploads
                | UploadPart
                | ListMultipartUploadParts
                | CommitMultipartUpload
                | AbortMultipartUpload
                | CreatePreauthenticatedRequest
                | ListPreauthenticatedRequests
                | GetPreauthenticatedRequest
                | DeletePreauthenticatedRequest
        )
    }

    /// Whether the metadata service of an instance provides the operation.
    pub fn is_of_metadata(self) -> bool {
        use Operation::*;
        matches!(
            self,
            GetMetadataRegion
                | GetMetadataRegionInfo
                | GetMetadataCanonicalRegionName
                | GetMetadataInstanceId
                | GetMetadataInstance
                | GetMetadataCertificate
                | GetMetadataKey
                | GetMetadataIntermediate
        )
    }

    /// Whether the request is signed by the user or a principal that has a token. The handler of
    /// any other operation checks what the request proves itself by.
    pub fn is_signed_by_caller(self) -> bool {
        use Operation::*;
        self.is_of_storage()
            || matches!(
                self,
                RefreshToken | GenerateToken | GetResourceToken | GetResourceSessionToken
            )
    }
}
