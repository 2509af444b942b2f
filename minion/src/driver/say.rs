//! What the minion's log says.

use brine_protocol::message::Standing;

use super::Driver;
use crate::engine::Note;

impl Driver {
    /// Says where the key of the present session stands.
    pub(super) fn say_standing(&mut self, standing: &Standing) {
        let id = &self.parts.identity.id;
        let current = || self.parts.identity.keys.current().public().fingerprint();
        let own = self.link.as_ref().and_then(|link| link.key).unwrap_or_else(current);
        let text = match standing {
            Standing::Accepted { .. } => format!("the master accepts this minion as {id}"),
            Standing::Pending => {
                format!(
                    "the key waits for approval on the master: brine-key -a {id}, after comparing the fingerprint {own}"
                )
            }
            Standing::Rejected => format!("the key {own} of {id} is rejected on the master"),
            Standing::Denied => format!("another key holds the id {id} on the master; this one is {own}"),
            Standing::Suspended => format!("this minion ({id}) is suspended on the master"),
        };
        self.say(text, matches!(standing, Standing::Accepted { .. } | Standing::Pending));
    }

    /// Logs what is new at its level, and what was said last already as a detail.
    pub(super) fn say(&mut self, text: String, is_fine: bool) {
        if text != self.last_said {
            self.supervisor.status(&text);
        }
        if text == self.last_said {
            tracing::debug!("{text}");
        } else if is_fine {
            tracing::info!("{text}");
        } else {
            tracing::warn!("{text}");
        }
        self.last_said = text;
    }
}

pub(super) fn say_note(note: &Note) {
    match note {
        Note::Duplicate(jid) => tracing::debug!(%jid, "an order that is known already"),
        Note::Conflict(jid) => tracing::error!(
            %jid,
            "the master gives another order under a jid that is open here; ignored: was its store restored from a backup?"
        ),
        Note::NotLive => tracing::warn!("the master gave an order outside a live session; ignored"),
        Note::Refused { jid, why } => tracing::warn!(%jid, why, "order refused"),
        Note::TurnedAway(jid) => {
            tracing::warn!(%jid, "order turned away: too many answers wait for the master");
        }
        Note::TokenRefused(why) => {
            tracing::warn!(
                "the enrolment token does not let this minion in: {}",
                brine_local::text::escape(why)
            );
        }
        Note::StoreChanged => tracing::warn!("the master's store is another one than before"),
    }
}
