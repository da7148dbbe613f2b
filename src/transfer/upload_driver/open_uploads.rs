//! The other open uploads of the name, which a killed run may have left.
//!
//! Owns one listing beside a new upload, and the note about what it shows. Must not decide about the
//! upload of this run. Invariant: nothing waits for the listing, and its failure is no failure of the run.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::term::progress::Reporter;
use crate::transfer::client::Client;
use crate::transfer::lookup::list_all;
use proto::api::{ListedUpload, ObjectLocation, request, response};
use proto::upload::Upload;

pub(super) struct OpenUploads {
    client: Arc<Client>,
    location: Arc<ObjectLocation>,
    listing: Option<oneshot::Receiver<Vec<ListedUpload>>>,
}

impl OpenUploads {
    pub(super) fn new(client: Arc<Client>, location: ObjectLocation) -> OpenUploads {
        OpenUploads { client, location: Arc::new(location), listing: None }
    }

    /// Starts the listing: one attempt at each page.
    pub(super) fn list(&mut self) {
        let (client, location) = (self.client.clone(), self.location.clone());
        let (done, listing) = oneshot::channel();
        self.listing = Some(listing);
        tokio::spawn(async move {
            let (client, location) = (&client, &location);
            let listed = list_all(|token| async move {
                let request = request::list_uploads(location, token.as_deref());
                let page = client.send(request).await.ok().map(|page| response::parse_page(&page));
                page.and_then(Result::ok).ok_or(())
            });
            let mut uploads: Vec<ListedUpload> = listed.await.unwrap_or_default();
            uploads.retain(|upload| upload.object == location.object);
            // The receiver is gone where the run has ended.
            let _ = done.send(uploads);
        });
    }

    /// Names the open uploads besides that of this run, once they are listed.
    pub(super) fn report(&mut self, upload: &Upload, reporter: &Reporter) {
        let Some(listing) = &mut self.listing else { return };
        let Ok(uploads) = listing.try_recv() else { return };
        self.listing = None;
        for open in uploads {
            let id = open.upload_id.as_str();
            if upload.upload_id() == Some(id) {
                continue;
            }
            let created = open.time_created.as_deref().unwrap_or("an unknown time");
            let messages = upload.messages();
            let resume = messages.resume_command(id);
            let resume =
                resume.map(|resume| format!("go on with the same stream: {resume}\n  or "));
            reporter.info(&format!(
                "another upload of this name is open: {id}, begun {created}; if no run is at work on it, \
                 {}abort it with: {}",
                resume.unwrap_or_default(),
                messages.abort_command(id)
            ));
        }
    }
}
