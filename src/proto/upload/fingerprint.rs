//! What of an upload counts for the exploration of states.
//!
//! Owns the choice. Must not know the service or the driver. Invariant: each field is named, so that a new
//! one is decided about.

use super::core::{Core, Creation, CurrentCall, MultipartUpload, Stop};
use super::state::{
    Cleanup, Commit, Doubt, Rehash, ResolveStep, Resolving, State, Storing, Streaming, Verifying,
};
use super::{ApiCall, Now, ProbeCondition, Upload};
use crate::api::ObjectMeta;
use crate::error::Error;
use crate::state_space::Fingerprint;

impl Upload {
    /// Adds all that the behaviour of the machine depends on, once its actions were taken.
    pub(crate) fn add_to(&self, fingerprint: &mut Fingerprint) {
        let Upload { state, core } = self;
        core.add_to(fingerprint);
        state.add_to(fingerprint, core.now);
    }
}

/// The ids of uploads that a text names: `ue` and a number, in these tests.
pub(crate) fn named_uploads(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    words.filter(|word| word.strip_prefix("ue").is_some_and(|number| number.parse::<u32>().is_ok()))
}

/// Adds the kind of an error and the uploads that it names; the rest of its text is for people.
pub(super) fn add_error(fingerprint: &mut Fingerprint, error: &Error) {
    fingerprint.add(error.kind.exit_code());
    let text = error.to_string();
    named_uploads(&text).for_each(|id| fingerprint.name(id));
}

fn add_optional_error(fingerprint: &mut Fingerprint, error: Option<&Error>) {
    fingerprint.add(error.is_some());
    if let Some(error) = error {
        add_error(fingerprint, error);
    }
}

/// Adds the metadata of an object or a part.
pub(super) fn add_meta(fingerprint: &mut Fingerprint, meta: &ObjectMeta) {
    let ObjectMeta { etag, last_modified, size, content, multipart, request_id: _, headers: _ } =
        meta;
    fingerprint.optional_name(etag.as_deref());
    fingerprint.add((last_modified, size));
    fingerprint.add((&content.md5, &content.sha256, &multipart.md5, &multipart.sha256));
}

/// Adds a call with what it names.
pub(crate) fn add_call(fingerprint: &mut Fingerprint, call: &ApiCall) {
    match call {
        ApiCall::Create => fingerprint.add(0),
        ApiCall::Part(number) => fingerprint.add((1, number)),
        ApiCall::Put => fingerprint.add(2),
        ApiCall::Commit => fingerprint.add(3),
        ApiCall::Head => fingerprint.add(4),
        ApiCall::ConditionalCreate(ProbeCondition::NoObject) => fingerprint.add(5),
        ApiCall::ConditionalCreate(ProbeCondition::ObjectWithEtag(etag)) => {
            fingerprint.add(6);
            fingerprint.name(etag);
        }
        ApiCall::ListParts => fingerprint.add(7),
        ApiCall::ListUploads => fingerprint.add(8),
        ApiCall::Abort { upload_id } => {
            fingerprint.add(9);
            fingerprint.name(upload_id);
        }
        ApiCall::Delete { etag } => {
            fingerprint.add(10);
            fingerprint.name(etag);
        }
    }
}

impl Core {
    fn add_to(&self, fingerprint: &mut Fingerprint) {
        let Core {
            config,
            multipart,
            parts,
            end,
            stream_digests: _,
            call,
            outage,
            stop,
            deadline,
            now,
            retries: _,
            rng: _,
            actions,
        } = self;
        assert!(actions.is_empty(), "the actions are taken before the fingerprint");
        let left = |at: Now| at.saturating_sub(*now);
        fingerprint.add((config.service_seen, end.is_some()));
        let MultipartUpload {
            creation,
            create_in_flight,
            create_response_lost,
            commit_unconfirmed,
            excluded,
            is_gone,
        } = multipart;
        fingerprint.add(*creation == Creation::NotStarted);
        fingerprint.optional_name(multipart.id());
        fingerprint.add((
            create_in_flight,
            create_response_lost,
            commit_unconfirmed,
            excluded,
            is_gone,
        ));
        parts.add_to(fingerprint, *now);
        let CurrentCall { scheduled, attempt, sent_at: _, streak, par_rejected, commit_attempts } =
            call;
        fingerprint.time(scheduled.as_ref().map(|(at, _)| left(*at)));
        if let Some((_, call)) = scheduled {
            add_call(fingerprint, call);
        }
        fingerprint.add((attempt, par_rejected, commit_attempts.min(&2)));
        fingerprint.add(streak.map(|(operation, streak)| (operation.name(), streak.count())));
        outage.add_to(fingerprint, *now);
        fingerprint.time(stop.deadline.map(left));
        let Stop { deadline: _, error } = stop;
        add_optional_error(fingerprint, error.as_ref());
        fingerprint.time(deadline.map(left));
    }
}

impl State {
    fn add_to(&self, fingerprint: &mut Fingerprint, now: Now) {
        fingerprint.add(self.kind() as u8);
        match self {
            State::Streaming(streaming) => streaming.add_to(fingerprint, now),
            State::Storing(storing) => storing.add_to(fingerprint),
            State::Committing(commit) | State::RelistingParts(commit) => {
                commit.add_to(fingerprint);
            }
            State::Resolving(Resolving { commit, step, rejection }) => {
                commit.add_to(fingerprint);
                fingerprint.add(match step {
                    ResolveStep::HeadObject => 0,
                    ResolveStep::ListParts => 1,
                    ResolveStep::HeadAfterUploadGone => 2,
                });
                add_optional_error(fingerprint, rejection.as_ref());
            }
            State::Verifying(Verifying { committed, evidence, probe_upload_id }) => {
                add_meta(fingerprint, committed);
                fingerprint.add(evidence.map(|evidence| evidence.to_string()));
                fingerprint.optional_name(probe_upload_id.as_deref());
            }
            State::Aborting(cleanup) | State::Deleting(cleanup) => cleanup.add_to(fingerprint),
            State::ListingOrphans(cleanup) => cleanup.add_to(fingerprint),
            State::Finished => {}
        }
    }
}

impl Streaming {
    fn add_to(&self, fingerprint: &mut Fingerprint, now: Now) {
        let Streaming {
            multipart_needed,
            next_part_is_last,
            no_more_parts,
            hold_until,
            conflict,
            commit,
        } = self;
        fingerprint.add((multipart_needed, next_part_is_last, no_more_parts));
        fingerprint.time(hold_until.map(|at| at.saturating_sub(now)));
        add_optional_error(fingerprint, conflict.as_ref());
        commit.add_to(fingerprint);
    }
}

impl Storing {
    fn add_to(&self, fingerprint: &mut Fingerprint) {
        let Storing { doubt, checksum_failures, rejection, rehash, final_head_sent } = self;
        fingerprint.add((doubt_number(*doubt), checksum_failures, final_head_sent));
        add_optional_error(fingerprint, rejection.as_ref());
        match rehash {
            None => fingerprint.add(0),
            Some(Rehash::Acknowledged(meta)) => {
                fingerprint.add(1);
                add_meta(fingerprint, meta);
            }
            Some(Rehash::Candidate(meta)) => {
                fingerprint.add(2);
                add_meta(fingerprint, meta);
            }
        }
    }
}

impl Commit {
    fn add_to(&self, fingerprint: &mut Fingerprint) {
        let Commit { doubt, relists, listed } = self;
        fingerprint.add((doubt_number(*doubt), relists, listed));
    }
}

impl Cleanup {
    fn add_to(&self, fingerprint: &mut Fingerprint) {
        let Cleanup { outcome, doubt, probe_upload_id, aborting } = self;
        add_optional_error(fingerprint, outcome.as_ref().err());
        fingerprint.add(doubt_number(*doubt));
        fingerprint.optional_name(probe_upload_id.as_deref());
        fingerprint.optional_name(aborting.as_deref());
    }
}

fn doubt_number(doubt: Doubt) -> u8 {
    match doubt {
        Doubt::None => 0,
        Doubt::ResponseLost => 1,
        Doubt::SeenOpen => 2,
    }
}
