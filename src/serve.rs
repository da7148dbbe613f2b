//! Provisional.
use crate::error::Error;
use crate::oci::options::ServiceOptions;
use std::path::Path;
pub struct LocalStore;
impl LocalStore {
    pub async fn start(_: &Path, _: &str, _: &str) -> Result<LocalStore, Error> { Ok(LocalStore) }
    pub fn service_options(&self) -> ServiceOptions { ServiceOptions::default() }
    pub async fn finish(self) -> Result<(), Error> { Ok(()) }
}
pub async fn serve(_: crate::cli::ServeCommand) -> Result<(), Error> { Ok(()) }
