//! What the program, the tests, the benchmarks and the fuzz targets of this repository use of the private modules.
//!
//! Owns the list of these names. Must not define anything. Invariant: it is hidden from the documentation, and
//! changes without notice.

pub use crate::platform::allocator::RetryingAllocator;
pub use crate::program::run as run_program;
pub use crate::term::startup_fds::record_closed_fds;

/// See [`crate::internals`].
pub mod auth {
    /// See [`crate::internals`].
    pub mod environment {
        pub use crate::auth::environment::Environment;
    }
    /// See [`crate::internals`].
    pub mod options {
        pub use crate::auth::options::{
            AuthMode, CertBundle, NetworkOptions, ServiceOptions, Setting,
        };
    }
    /// See [`crate::internals`].
    pub mod profile {
        pub use crate::auth::profile::Profiles;
    }
}

/// See [`crate::internals`].
pub mod cli {
    pub use crate::cli::{
        Command, Environment, Format, GetCommand, OutputOptions, Overwrite, ProgressMode,
        PutCommand, SessionAction, Shell, StreamSource, UploadsAction, UploadsCommand,
        VerifyCommand, VerifyStream, parse,
    };
    /// See [`crate::internals`].
    pub mod args {
        pub use crate::cli::args::info;
    }
    /// See [`crate::internals`].
    pub mod argv {
        pub use crate::cli::argv::canonical_name;
    }
}

/// See [`crate::internals`].
pub mod login {
    pub use crate::auth::login::archive::{
        ArchiveError, CarriedSession, read as read_session, write as write_session,
    };
}

/// See [`crate::internals`].
pub mod platform {
    /// See [`crate::internals`].
    pub mod signals {
        pub use crate::platform::signals::Signals;
    }
}

/// See [`crate::internals`].
pub mod source {
    pub use crate::source::{ByteSource, FilledPart, ReadEvent, Reader};
    /// See [`crate::internals`].
    pub mod pool {
        pub use crate::source::pool::Pool;
    }
}

/// See [`crate::internals`].
pub mod term {
    /// See [`crate::internals`].
    pub mod progress {
        pub use crate::term::progress::Reporter;
    }
}

/// See [`crate::internals`].
pub mod transfer {
    /// See [`crate::internals`].
    pub mod client {
        pub use crate::transfer::client::{Client, SendProgress, Timeouts};
    }
    /// See [`crate::internals`].
    pub mod upload_driver {
        pub use crate::transfer::upload_driver::{RunningSource, UploadDriver};
    }
}
