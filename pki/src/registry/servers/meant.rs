//! Which servers a text can mean: what a minion says it is, or somebody looks for.
//!
//! A UUID as it is always written means its record, whatever others are called. Any other text
//! means every record that it could: by another spelling of its UUID, by its external id or by its
//! name. That is no precedence on purpose: whoever may write a record could otherwise take over
//! what is said of somebody else's, by calling it so in a way that comes first.

use std::collections::{BTreeMap, BTreeSet};

use brine_protocol::ServerId;
use brine_protocol::server::ServerRecord;

use super::Servers;

/// The records of one name. How many there are must not matter to a look-up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Namesakes {
    ids: BTreeSet<ServerId>,
    /// How many of them are in each zone.
    zones: BTreeMap<Option<String>, usize>,
}

/// The servers that a text can mean.
#[derive(Debug, Clone, Copy)]
pub struct Meant<'a> {
    servers: &'a Servers,
    exact: [Option<ServerId>; 2],
    namesakes: Option<&'a Namesakes>,
}

impl<'a> Meant<'a> {
    fn ids(self) -> impl Iterator<Item = ServerId> {
        let namesakes = self.namesakes.into_iter().flat_map(|namesakes| &namesakes.ids);
        self.exact.into_iter().flatten().chain(namesakes.copied())
    }

    /// The server, if the text can mean no other.
    #[must_use]
    pub fn only(self) -> Option<ServerId> {
        let first = self.ids().next()?;
        // A record is met three times at most: by its id, its external id and its name.
        self.ids().take(4).all(|id| id == first).then_some(first)
    }

    /// Whether the text means nothing that is here.
    #[must_use]
    pub fn is_nothing(self) -> bool {
        self.ids().next().is_none()
    }

    /// The zones of all of them. One may come several times, but not once for each record.
    pub fn zones(self) -> impl Iterator<Item = Option<&'a str>> {
        let exact = self.exact.into_iter().flatten().filter_map(move |id| self.servers.get(id));
        let exact = exact.map(|entry| entry.record.zone.as_deref());
        let namesakes = self.namesakes.into_iter().flat_map(|namesakes| namesakes.zones.keys());
        exact.chain(namesakes.map(Option::as_deref))
    }
}

impl Servers {
    /// The servers that a text can mean.
    #[must_use]
    pub fn meant(&self, text: &str) -> Meant<'_> {
        let id: Option<ServerId> = text.parse().ok().filter(|id| self.records.contains_key(id));
        if id.is_some_and(|id| id.to_string() == text) {
            return Meant { servers: self, exact: [id, None], namesakes: None };
        }
        let (exact, namesakes) = ([id, self.by_external(text)], self.names.get(text));
        Meant { servers: self, exact, namesakes }
    }

    /// The same as a list, by id.
    #[must_use]
    pub fn named(&self, text: &str) -> Vec<ServerId> {
        self.meant(text).ids().collect::<BTreeSet<_>>().into_iter().collect()
    }

    pub(super) fn add_name(&mut self, id: ServerId, record: &ServerRecord) {
        let namesakes = self.names.entry(record.name.clone()).or_default();
        if namesakes.ids.insert(id) {
            *namesakes.zones.entry(record.zone.clone()).or_default() += 1;
        }
    }

    pub(super) fn remove_name(&mut self, id: ServerId, record: &ServerRecord) {
        let Some(namesakes) = self.names.get_mut(&record.name) else { return };
        if namesakes.ids.remove(&id)
            && let Some(count) = namesakes.zones.get_mut(&record.zone)
        {
            *count -= 1;
            if *count == 0 {
                namesakes.zones.remove(&record.zone);
            }
        }
        if namesakes.ids.is_empty() {
            self.names.remove(&record.name);
        }
    }
}
