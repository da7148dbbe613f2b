//! The `put` command: one stream, one object, one receipt.
//!
//! Owns the order in which a run is set up and ended. Decides nothing about the upload itself.
//! Invariant: nothing is read from the source before everything that can be known without it has
//! been checked.

mod drive;
mod start;

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::child::Producer;
use crate::cli::{Environment, ObjectSettings, Overwrite, PutCommand, Source as SourceOption};
use crate::digest::Algorithm;
use crate::error::{Error, Kind};
use crate::http::{Throttle, Transport};
use crate::input::{self, Reader};
use crate::memory;
use crate::oci::api::{Condition, CustomerKey, Storing, Target};
use crate::oci::profile::Identity;
use crate::oci::session::Session;
use crate::pool::Pool;
use crate::progress::Reporter;
use crate::receipt::Receipt;
use crate::schedule;
use crate::serve::LocalStore;
use crate::service::{Rate, Service};
use crate::signals::Signals;
use crate::upload::{Named, Settings, Stored, Upload};
