//! What an upload does when its number of connections changes (`auto`).
//!
//! Owns when the queue is cut for more connections, when parts in flight are recalled for it, and what is
//! reported of a change. Must not know how the number is chosen (`parts::pacing`). Invariant: of a refusal
//! there is one warning in a run.

use super::core::Core;
use super::parts::ConnectionChange;
use super::state::Streaming;
use super::{Action, Now};

impl Streaming {
    /// Cuts the parts that have not started into smaller ones, where there are more connections than
    /// parts for them.
    pub(super) fn split_queue(&mut self, core: &mut Core) {
        if !self.may_cut_queue(core) {
            return;
        }
        if let Some((first, sizes)) = core.parts.queue_split() {
            core.parts.start_queue_split(first, sizes.len());
            core.act(Action::SplitQueue { first, sizes });
        }
    }

    /// Whether more parts follow, whose number and sizes are free.
    fn may_cut_queue(&self, core: &Core) -> bool {
        !(self.no_more_parts || self.next_part_is_last || core.continues())
    }

    /// A sample of the line may change the number of connections.
    pub(super) fn on_sample(&mut self, core: &mut Core, sent: u64, waited: Now) {
        let Some(change) = core.parts.on_sample(core.now, sent, waited) else { return };
        let ConnectionChange { from, to, first_refusal } = change;
        core.act(Action::SetConnections { from, to });
        if self.conflict.is_none()
            && self.may_cut_queue(core)
            && let Some(first) = core.parts.start_recall(core.now, sent, change)
        {
            core.act(Action::RecallParts(first));
        }
        if first_refusal {
            core.warn(format!(
                "the service refuses more requests at once (HTTP 429 or 503): the upload goes on \
                 with {to} instead of {from}"
            ));
        }
    }
}
