//! `environ.*`: the minion's environment, as its jobs see it.
//!
//! What is set is kept beside the process's own environment, which cannot be changed safely while
//! threads read it, and laid over it for each process that a later job starts. It is gone when the
//! minion is started again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value, json};

use super::bind::Bound;
use super::cmd::NOT_INHERITED;
use super::{Context, Fault, Function, Outcome, optional, required, text_of};

/// How many variables can be set, and how long a name with its value may be: the system refuses to
/// start a program with much more.
const VARIABLES_MAX: usize = 1000;
const VARIABLE_MAX: usize = 64 * 1024;

/// What was set or taken away since the minion was started. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Environment(Arc<Mutex<BTreeMap<String, Option<String>>>>);

impl Environment {
    /// With these set, and those without a value taken away.
    #[must_use]
    pub fn of(changes: BTreeMap<String, Option<String>>) -> Self {
        Self(Arc::new(Mutex::new(changes)))
    }

    /// What was set, and without a value what was taken away.
    #[must_use]
    pub fn changes(&self) -> BTreeMap<String, Option<String>> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Option<String>>> {
        // A map is whole at every point where a panic could happen.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The variables that were set, for a process on top of the minion's own.
    #[must_use]
    pub fn set(&self) -> Vec<(String, String)> {
        let changed = self.lock();
        changed.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?))).collect()
    }

    /// The variables that were taken away.
    #[must_use]
    pub fn unset(&self) -> Vec<String> {
        let changed = self.lock();
        changed.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| name.clone()).collect()
    }

    /// All variables that a process of a job gets. What is for the minion alone is not among them.
    fn all(&self) -> BTreeMap<String, String> {
        let own = std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()));
        let mut all: BTreeMap<String, String> =
            own.filter(|(name, _)| !NOT_INHERITED.contains(&name.as_str())).collect();
        for (name, value) in self.lock().iter() {
            match value {
                Some(value) => drop(all.insert(name.clone(), value.clone())),
                None => drop(all.remove(name)),
            }
        }
        all
    }

    fn get(&self, name: &str) -> Option<String> {
        self.all().remove(name)
    }

    fn change(&self, name: &str, value: Option<&str>) -> Result<(), Fault> {
        let refused = |why: String| Err(Fault::Invocation(why));
        if name.is_empty() || name.contains(['=', '\0']) {
            return refused(format!(
                "{name:?} is no name of a variable; it is empty, or contains '=' or NUL"
            ));
        }
        if NOT_INHERITED.contains(&name) {
            return refused(format!("{name} is for the minion alone and given to no process"));
        }
        if value.is_some_and(|value| value.contains('\0')) {
            return refused(format!("the value of {name} contains NUL, which no variable can"));
        }
        if name.len() + value.map_or(0, str::len) > VARIABLE_MAX {
            return refused(format!("{name} with its value is longer than {VARIABLE_MAX} bytes"));
        }
        let mut changed = self.lock();
        if changed.len() >= VARIABLES_MAX && !changed.contains_key(name) {
            return refused(format!(
                "{VARIABLES_MAX} variables were set already; restart the minion to forget them"
            ));
        }
        changed.insert(name.to_owned(), value.map(str::to_owned));
        Ok(())
    }
}

pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new(
            "environ.get",
            |context, bound| Box::pin(get(context, bound)),
            "Returns an environment variable.",
        )
        .takes(
            const {
                &[
                    required("key", "name of the variable (text)"),
                    optional("default", "\"\"", "returned when there is none, an empty text when not given (any)"),
                ]
            },
        )
        .returns("text")
        .example("environ.get HOME"),
        Function::new(
            "environ.item",
            |context, bound| Box::pin(item(context, bound)),
            "Returns some environment variables.",
        )
        .takes(
            const {
                &[
                    required("keys", "one name, or several (text or list)"),
                    optional("default", "\"\"", "given for those there are not (any)"),
                ]
            },
        )
        .returns("{name: value}")
        .example("environ.item '[HOME, PATH]'"),
        Function::new(
            "environ.items",
            |context, _| Box::pin(items(context)),
            "Returns all environment variables that processes of the minion get.",
        )
        .returns("{name: value}"),
        Function::new(
            "environ.has_value",
            |context, bound| Box::pin(has_value(context, bound)),
            "Tells whether an environment variable is set, or is set to a value.",
        )
        .takes(
            const {
                &[
                    required("key", "name of the variable (text)"),
                    optional("value", "null", "the value it has to have; any when not given (text)"),
                ]
            },
        )
        .returns("boolean")
        .example("environ.has_value LANG en_US.UTF-8"),
        Function::new(
            "environ.setval",
            |context, bound| Box::pin(setval(context, bound)),
            "Sets an environment variable for all processes that the minion starts from now on, until it is restarted.",
        )
        .takes(
            const {
                &[
                    required("key", "name of the variable (text)"),
                    required("val", "its value; False empties it (text or boolean)"),
                    optional("false_unsets", "false", "True makes a val of False take it away (boolean)"),
                    optional("permanent", "false", "not possible here: only False (boolean)"),
                ]
            },
        )
        .returns("the value (text); null when it was taken away; False for a value that is no text")
        .example("environ.setval HTTP_PROXY http://proxy:3128"),
        Function::new(
            "environ.setenv",
            |context, bound| Box::pin(setenv(context, bound)),
            "Sets several environment variables, as environ.setval does.",
        )
        .takes(
            const {
                &[
                    required("environ", "names and values; False empties one (map)"),
                    optional("false_unsets", "false", "True makes a value of False take it away (boolean)"),
                    optional("clear_all", "false", "True empties or takes away all that are not named (boolean)"),
                    optional("update_minion", "false", "taken for Salt's sake and without effect (boolean)"),
                    optional("permanent", "false", "not possible here: only False (boolean)"),
                ]
            },
        )
        .returns("{name: as environ.setval gives it}; False when it is no map, or a value is no text")
        .example("environ.setenv '{\"HTTP_PROXY\": \"http://proxy:3128\", \"OLD\": False}' false_unsets=True"),
    ]
}

async fn get(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let (name, default) = (bound.text("key")?, bound.value("default"));
    Ok(Outcome::from(context.environment.get(&name).map_or(default, Value::from)))
}

async fn item(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let names = match bound.value("keys") {
        Value::Array(list) => list.iter().map(text_of).collect(),
        Value::Object(_) | Value::Null => Vec::new(),
        one => vec![text_of(&one)],
    };
    let default = bound.value("default");
    let all = context.environment.all();
    let value_of = |name: &String| all.get(name).map_or(default.clone(), |value| json!(value));
    let found: Map<String, Value> = names.iter().map(|name| (name.clone(), value_of(name))).collect();
    Ok(Outcome::from(Value::Object(found)))
}

async fn items(context: Context) -> Result<Outcome, Fault> {
    Ok(Outcome::from(json!(context.environment.all())))
}

async fn has_value(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let (name, wanted) = (bound.text("key")?, bound.maybe_text("value")?);
    let found = context.environment.get(&name);
    Ok(Outcome::from(found.is_some_and(|value| wanted.is_none_or(|wanted| value == wanted))))
}

fn refuse_permanent(bound: &mut Bound) -> Result<(), Fault> {
    match bound.value("permanent") {
        Value::Bool(false) | Value::Null => Ok(()),
        _ => Err(Fault::Invocation(
            "permanent is not possible here; write the variable into the unit of the minion's service, or a file of \
             the system"
                .to_owned(),
        )),
    }
}

async fn setval(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    refuse_permanent(&mut bound)?;
    let (name, value, unsets) = (bound.text("key")?, bound.value("val"), bound.flag("false_unsets")?);
    Ok(Outcome::from(set(&context.environment, &name, &value, unsets)?))
}

fn set(environment: &Environment, name: &str, value: &Value, unsets: bool) -> Result<Value, Fault> {
    let text = match value {
        Value::Bool(false) if unsets => {
            environment.change(name, None)?;
            return Ok(Value::Null);
        }
        Value::Bool(false) => "",
        Value::String(text) => text,
        // Salt's answer to what is neither; the command line hands on numbers as such.
        _ => return Ok(json!(false)),
    };
    environment.change(name, Some(text))?;
    Ok(json!(text))
}

async fn setenv(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    refuse_permanent(&mut bound)?;
    let (unsets, clears) = (bound.flag("false_unsets")?, bound.flag("clear_all")?);
    let Value::Object(wanted) = bound.value("environ") else { return Ok(Outcome::from(false)) };
    // Judged before anything is set, so that it is all or nothing.
    if wanted.values().any(|value| !matches!(value, Value::String(_) | Value::Bool(false))) {
        return Ok(Outcome::from(false));
    }
    let mut answer = Map::new();
    if clears {
        for name in context.environment.all().into_keys().filter(|name| !wanted.contains_key(name)) {
            let cleared = set(&context.environment, &name, &json!(false), unsets)?;
            answer.insert(name, cleared);
        }
    }
    for (name, value) in &wanted {
        answer.insert(name.clone(), set(&context.environment, name, value, unsets)?);
    }
    Ok(Outcome::from(Value::Object(answer)))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_shape, call, context, returned};
    use super::*;

    async fn run(context: &Context, function: &str, args: Value, keywords: Value) -> (Value, i32) {
        let result = returned(&[call(function, args, keywords)], context).await;
        if result.retcode == 0 && function.starts_with("environ.") {
            assert_shape(function, &result.value);
        }
        (result.value, result.retcode)
    }

    #[tokio::test]
    async fn later_jobs_see_what_was_set() {
        let context = context();
        let clone = context.clone();
        let text = |text: &str| (json!(text), 0);
        assert_eq!(run(&context, "environ.setval", json!(["BRINE_X", "a b"]), json!({})).await, text("a b"));
        assert_eq!(run(&clone, "environ.get", json!(["BRINE_X"]), json!({})).await, text("a b"));
        assert_eq!(run(&clone, "cmd.run", json!(["echo \"$BRINE_X\""]), json!({})).await.0, "a b");
        let tool = super::super::tool::Tool::new("sh", ["-c", "echo $BRINE_X"]);
        assert_eq!(tool.output(&context).await, Ok("a b".to_owned()));
        let own = json!({"env": {"BRINE_X": "own"}});
        assert_eq!(run(&context, "cmd.run", json!(["echo $BRINE_X"]), own).await.0, "own");
        assert_eq!(run(&context, "environ.setval", json!(["BRINE_X", false]), json!({})).await, text(""));
        assert_eq!(run(&context, "environ.has_value", json!(["BRINE_X"]), json!({})).await.0, true);

        // One that the process has itself.
        assert!(std::env::var_os("PATH").is_some());
        let unset = run(&context, "environ.setval", json!(["HOME", false, true]), json!({})).await;
        assert_eq!(unset, (Value::Null, 0));
        assert_eq!(run(&context, "environ.get", json!(["HOME", "none"]), json!({})).await, text("none"));
        assert_eq!(run(&context, "cmd.run", json!(["echo ${HOME-gone}"]), json!({})).await.0, "gone");
        assert_eq!(run(&context, "environ.setval", json!(["N", 5]), json!({})).await, (json!(false), 0));
    }

    #[tokio::test]
    async fn several_at_once() {
        let context = context();
        let set = json!([{"BRINE_A": "1", "BRINE_B": false}]);
        let (value, _) = run(&context, "environ.setenv", set.clone(), json!({})).await;
        assert_eq!(value, json!({"BRINE_A": "1", "BRINE_B": ""}));
        let (value, _) =
            run(&context, "environ.setenv", set, json!({"clear_all": true, "false_unsets": true})).await;
        assert_eq!((&value["PATH"], &value["BRINE_B"]), (&Value::Null, &Value::Null));
        assert_eq!(run(&context, "environ.items", json!([]), json!({})).await.0, json!({"BRINE_A": "1"}));
        let keys = json!([["BRINE_A", "PATH"], "-"]);
        assert_eq!(
            run(&context, "environ.item", keys, json!({})).await.0,
            json!({"BRINE_A": "1", "PATH": "-"})
        );
        assert_eq!(run(&context, "environ.has_value", json!(["BRINE_A", "2"]), json!({})).await.0, false);
        assert_eq!(run(&context, "environ.has_value", json!(["BRINE_A", 1]), json!({})).await.0, true);
        let bad = json!([{"BRINE_C": "1", "BRINE_D": 5}]);
        assert_eq!(run(&context, "environ.setenv", bad, json!({})).await, (json!(false), 0));
        assert_eq!(run(&context, "environ.get", json!(["BRINE_C"]), json!({})).await, (json!(""), 0));
    }

    #[tokio::test]
    async fn what_cannot_be_set() {
        let context = context();
        for (args, keywords, expected) in [
            (
                json!(["A=B", "x"]),
                json!({}),
                "\"A=B\" is no name of a variable; it is empty, or contains '=' or NUL",
            ),
            (json!(["A", "x\0"]), json!({}), "the value of A contains NUL, which no variable can"),
            (
                json!(["NOTIFY_SOCKET", "x"]),
                json!({}),
                "NOTIFY_SOCKET is for the minion alone and given to no process",
            ),
            (
                json!(["A", "x".repeat(VARIABLE_MAX)]),
                json!({}),
                "A with its value is longer than 65536 bytes",
            ),
            (
                json!(["A", "x"]),
                json!({"permanent": true}),
                "permanent is not possible here; write the variable into the unit of the minion's service, or a file \
                 of the system",
            ),
        ] {
            let said = format!("ERROR executing 'environ.setval': {expected}");
            assert_eq!(run(&context, "environ.setval", args, keywords).await, (json!(said), 1));
        }
        for n in 0..VARIABLES_MAX {
            context.environment.change(&format!("V{n}"), Some("")).unwrap();
        }
        assert!(context.environment.change("ONE_MORE", Some("")).is_err());
        context.environment.change("V0", Some("again")).unwrap();
        assert_eq!(context.environment.get("V0"), Some("again".to_owned()));
    }
}
