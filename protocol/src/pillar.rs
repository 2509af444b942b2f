//! Pillar: what a master tells one minion and no other, secrets among it.
//!
//! **Invariant:** `Debug` of anything here shows no values. A pillar is sent over its minion's own
//! sealed channel only, and neither side writes it to a disk.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What the master says about a minion's pillar: before any order of a session, when it has
/// changed, and when the minion asks.
#[derive(Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Pillar {
    /// All of it. None: the minion keeps what it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pillar: Option<Map<String, Value>>,
    /// The [`RefreshPillar::ask`] that this answers, if it answers one; and all before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ask: Option<u64>,
    /// Why it is not what the master's files say now, in one sentence without anything of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl fmt::Debug for Pillar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pillar")
            .field("keys", &self.pillar.as_ref().map(Map::len))
            .field("ask", &self.ask)
            .field("problem", &self.problem)
            .finish_non_exhaustive()
    }
}

/// A minion asks for its pillar anew: from the files as they are once the master has heard of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshPillar {
    /// Ascends within a session.
    pub ask: u64,
}

/// Puts one pillar over another: maps are merged, at any depth; of anything else, lists too, the
/// later one stands.
pub fn merge(under: &mut Map<String, Value>, over: &Map<String, Value>) {
    for (key, value) in over {
        match (under.get_mut(key), value) {
            (Some(Value::Object(under)), Value::Object(over)) => merge(under, over),
            (Some(under), value) => *under = value.clone(),
            (None, value) => {
                under.insert(key.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        let Value::Object(map) = value else { panic!("{value} is no map") };
        map
    }

    #[test]
    fn later_wins_and_maps_merge() {
        for (under, over, expected) in [
            (json!({"a": 1}), json!({"b": 2}), json!({"a": 1, "b": 2})),
            (json!({"a": 1}), json!({"a": null}), json!({"a": null})),
            (
                json!({"a": {"b": 1, "c": {"d": 1}}}),
                json!({"a": {"c": {"e": 2}}}),
                json!({"a": {"b": 1, "c": {"d": 1, "e": 2}}}),
            ),
            (json!({"a": [1, 2]}), json!({"a": [3]}), json!({"a": [3]})),
            (json!({"a": {"b": 1}}), json!({"a": "text"}), json!({"a": "text"})),
            (json!({"a": "text"}), json!({"a": {"b": 1}}), json!({"a": {"b": 1}})),
            (json!({"a": {"b": 1}}), json!({"a": {}}), json!({"a": {"b": 1}})),
            (json!({}), json!({}), json!({})),
        ] {
            let mut merged = map(under);
            merge(&mut merged, &map(over));
            assert_eq!(Value::Object(merged), expected);
        }
    }

    #[test]
    fn nothing_of_it_shows() {
        let pillar = Pillar {
            pillar: Some(map(json!({"password": "canary"}))),
            ask: Some(3),
            problem: Some("too large".to_owned()),
        };
        let shown = format!("{pillar:?}");
        assert_eq!(shown, "Pillar { keys: Some(1), ask: Some(3), problem: Some(\"too large\"), .. }");
    }
}
