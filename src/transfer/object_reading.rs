//! An object that is looked at and, where that is needed, read without being written.
//!
//! Owns the hand-over of the bytes to a consumer on a thread. Decides nothing about retries
//! (`range_reader`) and nothing about the meaning of the bytes. Invariant: all bytes that the consumer
//! gets are of the version that was looked at, in order; it gets all of them unless it ends the reading.

use std::sync::Arc;
use std::time::Duration;

use super::download::ObjectVersion;
use super::object_check::{self, ObjectRequest};
use super::read_progress::ReadProgress;
use crate::platform::worker::Worker;
use crate::term::progress::activity::Blocked;
use crate::term::progress::{Reporter, Transfer};
use crate::transfer::client::{Access, Client};
use crate::transfer::lookup::Lookup;
use proto::api::{Archival, ObjectLocation, ObjectMeta, ReadOptions};
use proto::byte_range::Extent;
use proto::error::{Error, ErrorKind};
use proto::object_url::ObjectUrl;
use proto::range_plan::RangePlan;

/// Bytes that are consumed between two looks at whether more are wanted: 1 ms of hashing.
const PIECE: usize = 1 << 20;

/// How an object is looked at and read.
pub(crate) struct ReadObject {
    pub client: Client,
    pub options: ReadOptions,
    /// Hours for which an archived object is restored before it is read; `None` if it is not.
    pub restore: Option<u32>,
    pub plan: RangePlan,
    /// How long reading may make no progress before it fails.
    pub retry_for: Duration,
    pub reporter: Arc<Reporter>,
}

/// An object that exists.
pub(crate) struct ReadableObject {
    pub location: ObjectLocation,
    pub meta: ObjectMeta,
    pub archival: Archival,
    how: ReadObject,
}

impl ReadObject {
    /// Looks at the object, archived or not. Fails with `ErrorKind::Service` where there is none.
    pub(crate) async fn look(self, source: &ObjectUrl) -> Result<ReadableObject, Error> {
        let lookup = Lookup::new(&self.client, self.retry_for, &self.reporter);
        let namespace = source.namespace.as_deref();
        let location = lookup.locate(namespace, &source.bucket, &source.name).await?;
        let (meta, archival) = object_check::look(&lookup, &self.request(&location)).await?;
        Ok(ReadableObject { location, meta, archival, how: self })
    }

    fn request<'a>(&'a self, location: &'a ObjectLocation) -> ObjectRequest<'a> {
        let ReadObject { options, restore, retry_for, .. } = self;
        ObjectRequest { location, options, restore: *restore, retry_for: *retry_for }
    }
}

impl ReadableObject {
    /// Fails where the object is archived and is not to be restored.
    pub(crate) fn check_restorable(&self) -> Result<(), Error> {
        object_check::check_restorable(&self.how.request(&self.location), self.archival)
    }

    /// By what right the requests are sent.
    pub(crate) fn access(&self) -> &Access {
        &self.how.client.access
    }

    /// From here on a stream is read: the session waits for a new login instead of failing.
    pub(crate) fn set_streaming(&self) {
        self.how.client.set_streaming();
    }

    /// Reads the object from its first byte and hands all bytes to `consume` on the thread of
    /// `worker`, until `consume` returns false. Waits for a restore where the object is archived and to be
    /// restored. Fails with `ErrorKind::Service` where it is not, where the object was replaced since it
    /// was looked at, and where reading makes no progress for the time of `retry_for`.
    pub(crate) async fn read<S: Send + 'static>(
        self,
        worker: Worker,
        state: S,
        consume: fn(&mut S, &[u8]) -> bool,
    ) -> Result<S, Error> {
        let ReadableObject { location, meta, how, .. } = self;
        let lookup = Lookup::new(&how.client, how.retry_for, &how.reporter);
        let now = object_check::check_object(&lookup, &how.request(&location)).await?;
        let (Some(size), Some(etag)) =
            (now.size, now.etag.filter(|etag| Some(etag) == meta.etag.as_ref()))
        else {
            return Err(Error::service(format!("{location} was replaced while it was compared"))
                .with_hint("run it again"));
        };
        how.client.set_streaming();
        let ReadObject { client, options, plan, retry_for, reporter, .. } = how;
        let access = client.access.clone();
        let version = ObjectVersion { client, location, options, etag, retry_for };
        let mut window = version.window(plan, Extent::whole(size), &reporter);
        let progress = ReadProgress::new(&reporter, &access, Transfer::Compare, Some(size), 0)
            .with_ranges(window.counts());
        let reading = async {
            let (mut state, mut read, mut more) = (state, 0, true);
            while more
                && let Some(bytes) = progress.blocked(Blocked::ByLine, window.next_chunk()).await?
            {
                read += bytes.len() as u64;
                let consumed = worker.call(move || {
                    let more = bytes.chunks(PIECE).all(|piece| consume(&mut state, piece));
                    (state, more)
                });
                (state, more) = consumed.await.ok_or_else(|| {
                    Error::new(ErrorKind::Internal, "the comparing thread failed within itself")
                })?;
                progress.set_done(read);
            }
            if more && read != size {
                return Err(Error::integrity(format!("{read} of {size} bytes were read")));
            }
            Ok(state)
        };
        progress.shown_during(reading).await
    }
}
