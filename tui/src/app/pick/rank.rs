//! How well a server record fits a key that waits: what somebody said of both comes first, then
//! how alike their names are. A proposal, no more: what a machine claims, anybody can claim.

use brine_protocol::MinionId;
use brine_protocol::control::{Key, Server};
use brine_protocol::server::ServerId;

/// Names that are less alike than this, in percent, are not alike.
const ALIKE_MIN: u8 = 75;

/// Characters of a name that are compared: a record's may have 256, and the first tell.
const COMPARED_MAX: usize = 48;

/// How well a record fits, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fit {
    /// It has the id's minion already, with another key.
    Again,
    /// The machine says that it is this server.
    Named,
    /// Its minion will have this id.
    Expected,
    /// So many percent of unlikeness between the names.
    Alike(u8),
    Unlike,
    /// Its minion will have another id.
    ForAnother,
}

impl Fit {
    /// Why the record is where it is, in at most eleven columns.
    pub(crate) fn words(self) -> String {
        match self {
            Fit::Again => "re-pair".to_owned(),
            Fit::Named => "named by it".to_owned(),
            Fit::Expected => "expects it".to_owned(),
            Fit::Alike(missing) => format!("alike {}%", 100 - missing),
            Fit::Unlike => String::new(),
            Fit::ForAnother => "not for it".to_owned(),
        }
    }
}

/// What is known of the machine behind a key.
#[derive(Debug)]
pub(crate) struct Asker {
    pub(crate) id: MinionId,
    /// The record that the master puts beside its key.
    named: Option<ServerId>,
    words: Vec<String>,
}

impl Asker {
    pub(crate) fn new(key: &Key) -> Self {
        let words = words([key.id.as_str(), &key.claims.host]);
        Self { id: key.id.clone(), named: key.server.as_ref().map(|server| server.id), words }
    }

    pub(crate) fn fit(&self, server: &Server) -> Fit {
        let record = &server.record;
        if server.link.as_ref().is_some_and(|link| link.minion == self.id) {
            return Fit::Again;
        }
        match &record.minion_id {
            Some(expected) if *expected != self.id => return Fit::ForAnother,
            Some(_) => return Fit::Expected,
            None if self.named == Some(server.id) => return Fit::Named,
            None => {}
        }
        let theirs = words([record.name.as_str(), record.external_id.as_deref().unwrap_or_default()]);
        let pairs = self.words.iter().flat_map(|a| theirs.iter().map(move |b| alike(a, b)));
        match pairs.max().unwrap_or(0) {
            percent if percent >= ALIKE_MIN => Fit::Alike(100 - percent),
            _ => Fit::Unlike,
        }
    }
}

/// How alike two names are, in percent.
fn alike(a: &str, b: &str) -> u8 {
    // Within 0 and 1, so that nothing is lost but the fraction.
    (strsim::jaro_winkler(a, b) * 100.0) as u8
}

/// The names as they are compared: in lower case, with and without the domain, one kind of hyphen.
fn words<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for name in names {
        let start = name.split('.').next().unwrap_or_default();
        for text in [name, start] {
            let lower = text.trim().chars().take(COMPARED_MAX).flat_map(char::to_lowercase);
            let word: String = lower.map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
            if !word.is_empty() && !words.contains(&word) {
                words.push(word);
            }
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{key, server, server_id};
    use brine_protocol::control::{KeyServer, KeyState};

    fn asker(id: &str, host: &str, named: Option<u8>) -> Asker {
        let mut key = key(id, 1, KeyState::Pending);
        key.claims.host = host.to_owned();
        key.server = named.map(|n| KeyServer {
            id: server_id(n),
            name: "named".to_owned(),
            zone: None,
            linked: false,
        });
        Asker::new(&key)
    }

    #[test]
    fn names_are_alike_whatever_case_domain_and_hyphens_they_have() {
        for (id, host, name) in [
            ("web-01", "", "web-01"),
            ("WEB-01", "", "Web 01"),
            ("web-01.dijon.example", "", "web_01"),
            ("x", "web-01.lan", "web-01"),
            ("x", "web-01", "web-01.lan"),
            ("x", "COLLÈGE-Éluard", "Collège éluard"),
        ] {
            assert_eq!(asker(id, host, None).fit(&server(1, name)), Fit::Alike(0), "{id} {host} {name}");
        }
        assert!(matches!(asker("web-01", "", None).fit(&server(1, "web-02")), Fit::Alike(1..=20)));
        assert_eq!(asker("web-01", "", None).fit(&server(1, "Lycée Carnot")), Fit::Unlike);
        assert_eq!(asker("web-01", "", None).fit(&server(1, "…")), Fit::Unlike);
        let long = "é".repeat(200);
        assert_eq!(asker("x", &long, None).fit(&server(1, &long)), Fit::Alike(0));
    }

    #[test]
    fn what_is_said_comes_before_what_is_alike() {
        let mut expected = server(1, "one");
        expected.record.minion_id = Some(crate::samples::id("web1"));
        let mut external = server(2, "two");
        external.record.external_id = Some("web1.example".to_owned());
        let mut for_another = server(3, "web1");
        for_another.record.minion_id = Some(crate::samples::id("web2"));
        let named = server(4, "four");
        let again = crate::samples::linked(server(5, "five"), "web1", 9);
        let mut all = [for_another, server(6, "web1x"), external, expected, named, again, server(7, "z")];
        let asker = asker("web1", "", Some(4));
        all.sort_by_key(|server| asker.fit(server));
        let order: Vec<&str> = all.iter().map(|server| server.record.name.as_str()).collect();
        assert_eq!(order, ["five", "four", "one", "two", "web1x", "z", "web1"]);
        assert_eq!(asker.fit(&all[6]), Fit::ForAnother);
    }

    #[test]
    fn the_record_of_the_key_is_expected_or_named() {
        let mut record = server(4, "four");
        assert_eq!(asker("web1", "", Some(4)).fit(&record), Fit::Named);
        record.record.minion_id = Some(crate::samples::id("web1"));
        assert_eq!(asker("web1", "", Some(4)).fit(&record), Fit::Expected);
        assert_eq!(asker("web1", "", None).fit(&record), Fit::Expected);
        assert_eq!(asker("web1", "", Some(5)).fit(&record), Fit::Expected);
        for fit in [Fit::Again, Fit::Named, Fit::Expected, Fit::Alike(0), Fit::ForAnother] {
            assert!(fit.words().len() <= 11);
        }
    }
}
