//! Sessions that begin here: the login in a browser, and the archive that carries a session to another
//! host.
//!
//! Owns the listener of a login, the files of a session and the edit of the config file. Must not know
//! how a session is used or renewed. Invariant: a file with a secret is written with mode 0600 under a
//! temporary name, and renamed.

pub(crate) mod archive;
pub(crate) mod browser;
pub(crate) mod config_edit;
pub(crate) mod files;
pub(crate) mod listener;
