//! The other open uploads of a name, which a killed run may have left.
//!
//! Owns one listing beside a run, and the note about what it shows. Must not decide about the upload of
//! the run. Invariants: the listing delays the end of a run by at most `END_WAIT`, and nothing else; its
//! failure is no failure of the run.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::term::progress::Reporter;
use crate::transfer::client::Client;
use crate::transfer::listing::{EndlessListing, MaxItems, list_all};
use proto::api::{ListedUpload, ObjectLocation, Page, parse_page, request};
use proto::upload::MessageContext;

/// How long the end of a run waits for a listing that has not ended.
const END_WAIT: Duration = Duration::from_secs(1);
/// Attempts at one page: a spurious 404 is answered once or twice. A principal that may not list gets a
/// 404 each time.
const MAX_ATTEMPTS: u32 = 3;
/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(100);
/// Open uploads that are named one by one; another user of the bucket may have begun any number.
const MAX_NAMED: usize = 10;

/// There is no whole listing; the reason is not reported.
struct NotListed;

impl From<EndlessListing> for NotListed {
    fn from(_: EndlessListing) -> NotListed {
        NotListed
    }
}

/// The listing of one run.
pub(crate) struct OpenUploads {
    client: Arc<Client>,
    location: ObjectLocation,
    listing: LookState,
    /// Whether what it shows is a warning, and not a note.
    warns: bool,
}

enum LookState {
    NotStarted,
    Running(oneshot::Receiver<Vec<ListedUpload>>),
    /// What it showed has been reported, or it is not wanted.
    Done,
}

impl OpenUploads {
    pub(crate) fn new(client: &Client, location: ObjectLocation) -> OpenUploads {
        let client = Arc::new(Client { beside_a_transfer: true, ..client.share() });
        OpenUploads { client, location, listing: LookState::NotStarted, warns: false }
    }

    /// Names the uploads with `--quiet` too.
    pub(crate) fn with_warnings(self) -> OpenUploads {
        OpenUploads { warns: true, ..self }
    }

    /// Makes no listing: the uploads were listed when one of them was chosen.
    pub(crate) fn skip(&mut self) {
        self.listing = LookState::Done;
    }

    /// Starts the listing, if it has not been started. Nothing is listed where no note would be shown, or
    /// where no command could go on with an upload.
    pub(crate) fn start(&mut self, messages: &MessageContext, reporter: &Reporter) {
        if !matches!(self.listing, LookState::NotStarted) {
            return;
        }
        let is_unseen = reporter.is_quiet() && !self.warns;
        if messages.resume_command.is_none() || is_unseen {
            self.listing = LookState::Done;
            return;
        }
        let (client, location) = (self.client.clone(), self.location.clone());
        let (done, listing) = oneshot::channel();
        self.listing = LookState::Running(listing);
        tokio::spawn(async move {
            let (client, location) = (&client, &location);
            let same_name = |upload: &ListedUpload| upload.object == location.object;
            let listed = list_all(MaxItems::UploadsOfObject, same_name, |token| async move {
                page(client, location, token).await
            });
            // The receiver is gone where the run has ended.
            let _ = done.send(listed.await.unwrap_or_default());
        });
    }

    /// Names the open uploads besides `own`, if they are listed.
    pub(crate) fn report(
        &mut self,
        own: Option<&str>,
        messages: &MessageContext,
        reporter: &Reporter,
    ) {
        if let LookState::Running(listing) = &mut self.listing
            && let Ok(uploads) = listing.try_recv()
        {
            self.listing = LookState::Done;
            self.name_uploads(&uploads, own, messages, reporter);
        }
    }

    /// As `report`, at the end of a run: waits for a listing that has not ended, and makes one that has not
    /// been started.
    pub(crate) async fn finish(
        &mut self,
        own: Option<&str>,
        messages: &MessageContext,
        reporter: &Reporter,
    ) {
        self.start(messages, reporter);
        if let LookState::Running(listing) = std::mem::replace(&mut self.listing, LookState::Done)
            && let Ok(Ok(uploads)) = tokio::time::timeout(END_WAIT, listing).await
        {
            self.name_uploads(&uploads, own, messages, reporter);
        }
    }

    fn name_uploads(
        &self,
        uploads: &[ListedUpload],
        own: Option<&str>,
        messages: &MessageContext,
        reporter: &Reporter,
    ) {
        let tell = |text: &str| if self.warns { reporter.warn(text) } else { reporter.info(text) };
        let others = || uploads.iter().filter(|upload| own != Some(upload.upload_id.as_str()));
        for open in others().take(MAX_NAMED) {
            let id = open.upload_id.as_str();
            let created = open.time_created.as_deref().unwrap_or("an unknown time");
            let resume = messages
                .resume_command(id)
                .map(|resume| format!("go on with the same stream: {resume}\n  or "));
            tell(&format!(
                "another upload of this name is open: {id}, begun {created}; if no run is at work on \
                 it, {}abort it with: {}",
                resume.unwrap_or_default(),
                messages.abort_command(id)
            ));
        }
        let more = others().count().saturating_sub(MAX_NAMED);
        if more > 0 {
            let text =
                "more uploads of this name are open; `ocipipe uploads list` names all of them";
            tell(&format!("{more} {text}"));
        }
    }
}

/// One page of the listing.
async fn page(
    client: &Client,
    location: &ObjectLocation,
    token: Option<String>,
) -> Result<Page<ListedUpload>, NotListed> {
    for _ in 1..MAX_ATTEMPTS {
        if let Some(page) = attempt(client, location, token.as_deref()).await {
            return Ok(page);
        }
        tokio::time::sleep(PAUSE).await;
    }
    attempt(client, location, token.as_deref()).await.ok_or(NotListed)
}

async fn attempt(
    client: &Client,
    location: &ObjectLocation,
    token: Option<&str>,
) -> Option<Page<ListedUpload>> {
    let response = client.send(request::list_uploads(location, token)).await.ok()?;
    parse_page(&response).ok()
}
