//! The `get` command: one object is written to stdout or to a file.
//!
//! Owns the order in which a download is set up and ended. Must not know how ranges are read or
//! retried. Invariant: the thread that writes is started before the service is contacted.

use std::io::{self, IsTerminal};
use std::sync::Arc;

use super::until_signal;
use crate::auth::environment::Environment;
use crate::cli::GetCommand;
use crate::net::Throttle;
use crate::platform::memory;
use crate::platform::signals::Signals;
use crate::platform::small_file;
use crate::term::progress::Reporter;
use crate::transfer::client::{Client, Timeouts};
use crate::transfer::comparison::UploadKnowledge;
use crate::transfer::download::{self, DownloadRequest};
use crate::transfer::sink;
use proto::api::ReadOptions;
use proto::error::{Error, ErrorKind};
use proto::range_plan::{self, RangePlanInput};

/// Downloads the object until it is complete or a signal arrives. Fails with the first error that
/// is not retryable, or when the download makes no progress for `--retry-for`.
pub(super) async fn get(command: GetCommand, environment: &Environment) -> Result<(), Error> {
    if command.file.is_none() && !command.names_stdout && io::stdout().is_terminal() {
        return Err(Error::usage("stdout is a terminal, and the object may be anything but text")
            .with_hint(
                "write it to a pipe or with --file PATH, or to the terminal with --file -",
            ));
    }
    let mut signals = Signals::subscribe()?;
    let worker = until_signal(&mut signals, sink::worker()).await?;
    let reporter = Arc::new(Reporter::new(command.output));
    let download = async {
        let request = open(command, environment, &reporter).await?;
        download::download(request, worker, &reporter).await
    };
    let result = until_signal(&mut signals, download).await;
    reporter.finish();
    // No error for people who write `| head`, but no success either.
    if let Err(error) = &result
        && error.kind == ErrorKind::StdoutClosed
    {
        reporter.info(&error.message);
    }
    result
}

/// Reads the credentials and the encryption key; sends no request of the download yet.
async fn open(
    command: GetCommand,
    environment: &Environment,
    reporter: &Arc<Reporter>,
) -> Result<DownloadRequest, Error> {
    let plan = range_plan::plan(&RangePlanInput {
        part_size: command.part_size,
        parallel: command.parallel,
        max_memory: command.max_memory,
        available_memory: memory::available(),
    })?;
    for warning in &plan.warnings {
        reporter.warn(warning);
    }
    let customer_key =
        command.encryption_key_file.as_deref().map(small_file::read_customer_key).transpose()?;
    let receipt = match &command.receipt {
        Some(path) => Some(small_file::read_receipt(path, Some(&command.source))?),
        None => None,
    };
    let timeouts = Timeouts { retry_for: command.retry_for, stall_timeout: command.stall_timeout };
    let mut client =
        Client::open_session(&command.service, environment, timeouts, reporter).await?;
    client.throttle = command.bwlimit.map(|rate| Arc::new(Throttle::new(rate)));
    let (version_id, if_match) = (command.version_id, command.if_match);
    Ok(DownloadRequest {
        client,
        source: command.source,
        options: ReadOptions { customer_key, version_id, if_match },
        range: command.range,
        known: UploadKnowledge { receipt, part_size: command.uploaded_part_size },
        restore: command.restore,
        plan,
        file: command.file,
        retry_for: command.retry_for,
    })
}
