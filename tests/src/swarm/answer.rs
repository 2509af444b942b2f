//! What a simulated minion answers: a few functions, and two ways to have it answer otherwise.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use brine_protocol::job::{Call, Ending, Returned};
use brine_protocol::{Jid, MinionId};
use serde_json::{Map, Value, json};

/// The largest text of a return, in bytes, so that it fits the master's `message_max`.
pub const REPLY_MAX: usize = 800 * 1024;

/// How jobs are answered.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Manner {
    /// A text of so many bytes instead of each function's own value.
    pub reply_size: Option<usize>,
    /// How long a job takes, besides what it sleeps.
    pub think: Duration,
    /// The share of (job, minion) pairs that fail, from 0 to 1.
    pub fail_rate: f64,
}

/// How calls end that ran to their end.
#[must_use]
pub fn ending(calls: &[Call], jid: Jid, id: &MinionId, duration_ms: u64, manner: &Manner) -> Ending {
    if fails(jid, id, manner.fail_rate) {
        let value = Value::from("this minion is simulated, and so is its failure");
        return Ending::Returned(Returned { value, retcode: 1, duration_ms, truncated: false });
    }
    let mut truncated = false;
    let mut one = |call: &Call| match manner.reply_size {
        Some(size) => (text(size, &mut truncated), 0),
        None => outcome(call, &mut truncated),
    };
    let (value, retcode) = match calls {
        [only] => one(only),
        several => {
            let mut values = Map::new();
            let mut retcode = 0;
            for call in several {
                let (value, code) = one(call);
                retcode = retcode.max(code);
                values.insert(call.function.clone(), value);
            }
            (Value::Object(values), retcode)
        }
    };
    Ending::Returned(Returned { value, retcode, duration_ms, truncated })
}

/// Whether this minion fails this job: the same whenever it is asked.
fn fails(jid: Jid, id: &MinionId, rate: f64) -> bool {
    if rate <= 0.0 {
        return false;
    }
    let mut hasher = DefaultHasher::new();
    (jid.as_str(), id.as_str()).hash(&mut hasher);
    (hasher.finish() as f64 / u64::MAX as f64) < rate
}

fn outcome(call: &Call, truncated: &mut bool) -> (Value, i32) {
    let argument = |name: &str| call.arguments.first().or_else(|| call.keywords.get(name)).cloned();
    let value = match call.function.as_str() {
        "test.ping" | "test.true" | "test.sleep" => json!(true),
        "test.false" => json!(false),
        "test.version" => json!(env!("CARGO_PKG_VERSION")),
        "test.echo" => argument("text").unwrap_or_default(),
        "test.arg" => json!({"args": call.arguments, "kwargs": call.keywords}),
        "swarm.reply" => {
            let size = argument("size").and_then(|size| size.as_u64()).unwrap_or(0);
            text(usize::try_from(size).unwrap_or(usize::MAX), truncated)
        }
        other => return (json!(format!("'{other}' is not available on a simulated minion.")), 254),
    };
    (value, 0)
}

/// A text of this size that does not compress to nothing.
fn text(size: usize, truncated: &mut bool) -> Value {
    *truncated |= size > REPLY_MAX;
    let line = "The quick brown fox jumps over the lazy dog 0123456789. ";
    Value::String(line.chars().cycle().take(size.min(REPLY_MAX)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(function: &str, arguments: Vec<Value>) -> Call {
        Call { function: function.to_owned(), arguments, keywords: Map::new() }
    }

    fn answered(calls: &[Call], id: &str, manner: &Manner) -> Returned {
        let jid = "20261122060732000100".parse().unwrap();
        match ending(calls, jid, &id.parse().unwrap(), 3, manner) {
            Ending::Returned(returned) => returned,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn functions_and_their_values() {
        let plain = Manner::default();
        for (function, arguments, value, retcode) in [
            ("test.ping", vec![], json!(true), 0),
            ("test.echo", vec![json!({"a": [1]})], json!({"a": [1]}), 0),
            ("swarm.reply", vec![json!(9)], json!("The quick"), 0),
            ("cmd.run", vec![json!("x")], json!("'cmd.run' is not available on a simulated minion."), 254),
        ] {
            let returned = answered(&[call(function, arguments)], "a", &plain);
            assert_eq!((returned.value, returned.retcode, returned.truncated), (value, retcode, false));
        }
        let two = [call("test.ping", vec![]), call("test.nothing", vec![])];
        let returned = answered(&two, "a", &plain);
        assert_eq!((returned.value["test.ping"].clone(), returned.retcode), (json!(true), 254));
        let sized = Manner { reply_size: Some(500), ..Manner::default() };
        assert_eq!(answered(&two[..1], "a", &sized).value.as_str().unwrap().len(), 500);
        let huge = answered(&[call("swarm.reply", vec![json!(u64::MAX)])], "a", &plain);
        assert!(huge.truncated && huge.value.as_str().unwrap().len() == REPLY_MAX);
    }

    #[test]
    fn about_so_many_fail_and_the_same_each_time() {
        let manner = Manner { fail_rate: 0.2, ..Manner::default() };
        let ping = [call("test.ping", vec![])];
        let failed: Vec<bool> =
            (0..1000).map(|n| answered(&ping, &format!("m{n}"), &manner).retcode == 1).collect();
        let count = failed.iter().filter(|failed| **failed).count();
        assert!((140..260).contains(&count), "{count}");
        assert_eq!(answered(&ping, "m0", &manner).retcode == 1, failed[0]);
    }
}
