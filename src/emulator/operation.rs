//! The operations of the services that the emulator plays.
//!
//! Pure. Owns their names, which the fault plan and the log use and which are stable, and their
//! groups; knows no path. Invariant: an operation belongs to one service.

use serde::{Deserialize, Serialize};

/// The operations of the service, named as in its API reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Operation {
    /// Reads the namespace of the tenancy.
    GetNamespace,
    /// Lists the buckets.
    ListBuckets,
    /// Creates a bucket.
    CreateBucket,
    /// Reads the properties of a bucket.
    GetBucket,
    /// Checks that a bucket exists.
    HeadBucket,
    /// Deletes an empty bucket.
    DeleteBucket,
    /// Lists the objects of a bucket.
    ListObjects,
    /// Stores an object by one request.
    PutObject,
    /// Reads an object or a range of it.
    GetObject,
    /// Reads the properties of an object.
    HeadObject,
    /// Deletes an object.
    DeleteObject,
    /// Restores an object from the archive tier.
    RestoreObjects,
    /// Opens a multipart upload.
    CreateMultipartUpload,
    /// Lists the open multipart uploads of a bucket.
    ListMultipartUploads,
    /// Stores one part of an upload.
    UploadPart,
    /// Lists the parts of an upload.
    ListMultipartUploadParts,
    /// Makes an object of the parts of an upload.
    CommitMultipartUpload,
    /// Discards an upload and its parts.
    AbortMultipartUpload,
    /// Creates a pre-authenticated request.
    CreatePreauthenticatedRequest,
    /// Lists the pre-authenticated requests of a bucket.
    ListPreauthenticatedRequests,
    /// Reads a pre-authenticated request, without its secret.
    GetPreauthenticatedRequest,
    /// Deletes a pre-authenticated request.
    DeletePreauthenticatedRequest,
    /// Refreshes a session token.
    RefreshToken,
    /// Issues a session token for an API key.
    GenerateToken,
    /// `GET /v1/oauth2/authorize`: the login page of a browser session.
    AuthorizeLogin,
    /// `GET /opc/v2/instance/region` of the metadata service, and so on.
    GetMetadataRegion,
    /// Reads region and realm of an instance as JSON.
    GetMetadataRegionInfo,
    /// Reads the canonical name of an instance's region.
    GetMetadataCanonicalRegionName,
    /// Reads the id of an instance.
    GetMetadataInstanceId,
    /// Reads all properties of an instance.
    GetMetadataInstance,
    /// Reads the leaf certificate of an instance.
    GetMetadataCertificate,
    /// Reads the private key of an instance.
    GetMetadataKey,
    /// Reads the certificate of the issuer of leaf certificates.
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
    pub(crate) fn names_a_bucket(self) -> bool {
        use Operation::*;
        self.is_of_storage() && !matches!(self, GetNamespace | ListBuckets | CreateBucket)
    }

    /// Whether Object Storage provides the operation.
    pub(crate) fn is_of_storage(self) -> bool {
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

    /// Whether the request is signed by the user or a principal that has a token. The handler of
    /// any other operation checks what the request proves itself by.
    pub(crate) fn is_signed_by_caller(self) -> bool {
        use Operation::*;
        self.is_of_storage()
            || matches!(
                self,
                RefreshToken | GenerateToken | GetResourceToken | GetResourceSessionToken
            )
    }
}
