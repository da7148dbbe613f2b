//! Reads of the metadata service of an instance.
//!
//! Owns the address that answered last. Must not know what an item is for. Invariant: every request
//! goes directly to the service, and the private key in a response never reaches a message.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::{IssueContext, IssueError, Outlook, Stage};
use crate::auth::session::transport::{ExchangeError, ExchangeFailure, Route};
use proto::endpoint::Endpoint;
use proto::principal::AuthReply;
use proto::principal::metadata::{
    self, Item, MetadataFailure, MetadataGiveUp, MetadataRetry, MetadataStep, START_LIMIT,
};

/// How long one read is repeated while a token is in use. The life cycle repeats the whole issue.
const RUNNING_RETRY_FOR: Duration = Duration::from_secs(15);

/// The metadata service, at one or two addresses.
pub(super) struct MetadataService {
    bases: Vec<Endpoint>,
    /// The index of the address that answered last.
    base: AtomicUsize,
}

/// A series of reads that are of use only together, such as certificate and key.
pub(super) struct MetadataReading<'a> {
    service: &'a MetadataService,
    context: IssueContext<'a>,
    retry: MetadataRetry,
    started_at: Instant,
}

impl MetadataService {
    /// The service at the address that is configured; `None` for the link-local addresses.
    pub(super) fn new(configured: Option<&Endpoint>) -> MetadataService {
        let bases = match configured {
            Some(base) => vec![base.clone()],
            // The default addresses can be parsed.
            None => metadata::bases(None).unwrap_or_default(),
        };
        MetadataService { bases, base: AtomicUsize::new(0) }
    }

    /// Begins a series of reads.
    pub(super) fn read<'a>(&'a self, context: IssueContext<'a>) -> MetadataReading<'a> {
        let bases = self.bases.len();
        let retry = match context.stage {
            Stage::Start => MetadataRetry::at_start(bases),
            Stage::Running => {
                let base = self.base.load(Ordering::Relaxed);
                MetadataRetry::streaming(bases, base, RUNNING_RETRY_FOR)
            }
        };
        MetadataReading { service: self, context, retry, started_at: Instant::now() }
    }
}

impl MetadataReading<'_> {
    /// The response to one item, with status 200. Fails if the service is given up.
    pub(super) async fn item(&mut self, item: Item) -> Result<AuthReply, IssueError> {
        loop {
            let index = self.retry.base();
            let base = &self.service.bases[index.min(self.service.bases.len() - 1)];
            let call = metadata::call(base, item);
            let exchange = self.context.exchange(base, Route::Metadata, call);
            let response = match tokio::time::timeout(self.request_timeout(), exchange).await {
                Ok(response) => response,
                // The service has accepted the connection and is silent.
                Err(_) => Err(ExchangeError {
                    kind: ExchangeFailure::Broken,
                    message: "no answer".to_owned(),
                }),
            };
            let failure = match response {
                Ok(reply) if reply.status == 200 => {
                    self.service.base.store(index, Ordering::Relaxed);
                    return Ok(reply);
                }
                Ok(reply) => MetadataFailure::Status(reply.status),
                Err(error) => match error.kind {
                    ExchangeFailure::Refused => MetadataFailure::Refused,
                    ExchangeFailure::NoRoute => MetadataFailure::NoRoute,
                    ExchangeFailure::ConnectTimeout => MetadataFailure::ConnectTimeout,
                    ExchangeFailure::Broken
                    | ExchangeFailure::Local
                    | ExchangeFailure::Setting { .. } => MetadataFailure::Broken,
                },
            };
            let elapsed = self.started_at.elapsed();
            match self.retry.on_failure(failure, elapsed, fastrand::f64()) {
                MetadataStep::OtherFamily { .. } => {}
                MetadataStep::Retry { after, .. } => tokio::time::sleep(after).await,
                MetadataStep::GiveUp(reason) => return Err(self.give_up(reason)),
            }
        }
    }

    /// How long one request may take: at the start what is left of the time for all requests.
    fn request_timeout(&self) -> Duration {
        match self.context.stage {
            Stage::Start => START_LIMIT.saturating_sub(self.started_at.elapsed()),
            Stage::Running => RUNNING_RETRY_FOR,
        }
    }

    fn give_up(&self, reason: MetadataGiveUp) -> IssueError {
        let outlook = match (self.context.stage, reason) {
            (Stage::Running, MetadataGiveUp::OutOfOrder(_) | MetadataGiveUp::NoService(_)) => {
                Outlook::MaySucceed
            }
            _ => Outlook::NeedsChange,
        };
        IssueError::new(reason.into_error(&self.service.bases), outlook)
    }
}
