//! Arguments to parameters: one binder for all functions, with the messages Python would give.

use std::time::Duration;

use brine_protocol::job::Call;
use serde_json::{Map, Value};

use super::signature::{Signature, Slot};
use super::{Fault, text_of};

/// The arguments of one call, each under its parameter's name.
#[derive(Debug, PartialEq)]
pub(super) struct Bound {
    values: Map<String, Value>,
    /// Positional arguments beyond the parameters; only variadic functions get any.
    pub(super) rest: Vec<Value>,
    /// Keyword arguments that name no parameter; only variadic functions get any.
    pub(super) extra: Map<String, Value>,
}

/// Binds the arguments of `call` to the parameters that `signature` names.
pub(super) fn bind(signature: &Signature<'_>, call: &Call) -> Result<Bound, Fault> {
    let name = signature.short_name();
    let known = |key: &str| signature.slots.iter().any(|slot| slot.name == key);
    let (named, extra): (Map<_, _>, Map<_, _>) =
        call.keywords.clone().into_iter().partition(|(key, _)| known(key));
    if !signature.is_variadic() && !extra.is_empty() {
        let list: Vec<String> =
            extra.iter().map(|(key, value)| format!("{key}={}", text_of(value))).collect();
        return Err(Fault::Invocation(format!(
            "The following keyword arguments are not valid: {}",
            list.join(", ")
        )));
    }
    let positional: Vec<&Slot<'_>> = signature.slots.iter().filter(|slot| !slot.is_keyword_only).collect();
    let given = call.arguments.len();
    if !signature.is_variadic() && given > positional.len() {
        return Err(Fault::Arguments(too_many(name, &positional, given)));
    }
    let mut values = named;
    for (slot, value) in positional.iter().zip(&call.arguments) {
        if values.insert(slot.name.to_owned(), value.clone()).is_some() {
            let why = format!("{name}() got multiple values for argument '{}'", slot.name);
            return Err(Fault::Arguments(why));
        }
    }
    let mut missing = Vec::new();
    for slot in &signature.slots {
        if values.contains_key(slot.name) {
            continue;
        }
        match &slot.default {
            Some(value) => {
                values.insert(slot.name.to_owned(), value.clone());
            }
            None => missing.push(slot),
        }
    }
    if !missing.is_empty() {
        return Err(Fault::Arguments(lacks(name, &missing)));
    }
    Ok(Bound { values, rest: call.arguments.iter().skip(positional.len()).cloned().collect(), extra })
}

fn too_many(name: &str, positional: &[&Slot<'_>], given: usize) -> String {
    let max = positional.len();
    let min = positional.iter().filter(|slot| slot.default.is_none()).count();
    let takes = if min < max { format!("from {min} to {max}") } else { max.to_string() };
    let (plural, were) = (if takes == "1" { "" } else { "s" }, if given == 1 { "was" } else { "were" });
    format!("{name}() takes {takes} positional argument{plural} but {given} {were} given")
}

/// Python tells of those by keyword only when nothing else is missing.
fn lacks(name: &str, missing: &[&Slot<'_>]) -> String {
    let is_keyword_only = missing.iter().all(|slot| slot.is_keyword_only);
    let kind = if is_keyword_only { "keyword-only" } else { "positional" };
    let told = missing.iter().filter(|slot| slot.is_keyword_only == is_keyword_only);
    let quoted: Vec<String> = told.map(|slot| format!("'{}'", slot.name)).collect();
    let list = match quoted.as_slice() {
        [one] => one.clone(),
        [one, two] => format!("{one} and {two}"),
        [front @ .., last] => format!("{}, and {last}", front.join(", ")),
        [] => String::new(),
    };
    let (count, plural) = (quoted.len(), if quoted.len() == 1 { "" } else { "s" });
    format!("{name}() missing {count} required {kind} argument{plural}: {list}")
}

impl Bound {
    /// What was given beyond the parameters by position, and everything that has a name.
    pub(super) fn into_parts(self) -> (Vec<Value>, Map<String, Value>) {
        let Self { mut values, rest, extra } = self;
        values.extend(extra);
        (rest, values)
    }

    /// Takes the value of a parameter.
    pub(super) fn value(&mut self, name: &str) -> Value {
        self.values.remove(name).expect("every parameter is bound, and a body takes each of its own once")
    }

    /// Takes a parameter that is a text; numbers and truth values count as what was typed.
    pub(super) fn text(&mut self, name: &str) -> Result<String, Fault> {
        self.maybe_text(name)?.ok_or_else(|| Fault::Invocation(format!("'{name}' needs a text")))
    }

    /// As [`Bound::text`], and null is none.
    pub(super) fn maybe_text(&mut self, name: &str) -> Result<Option<String>, Fault> {
        match self.value(name) {
            Value::Null => Ok(None),
            Value::Array(_) | Value::Object(_) => Err(Fault::Invocation(format!("'{name}' needs a text"))),
            scalar => Ok(Some(text_of(&scalar))),
        }
    }

    /// Takes a parameter that is true or false.
    pub(super) fn flag(&mut self, name: &str) -> Result<bool, Fault> {
        match self.value(name) {
            Value::Bool(flag) => Ok(flag),
            _ => Err(Fault::Invocation(format!("'{name}' is either True or False"))),
        }
    }

    /// Takes a parameter that is a number of seconds; null is none. Gives the number as it was
    /// written, too.
    pub(super) fn seconds(&mut self, name: &str) -> Result<Option<(Duration, String)>, Fault> {
        let value = self.value(name);
        let number = match &value {
            Value::Null => return Ok(None),
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        match number.map(Duration::try_from_secs_f64) {
            Some(Ok(duration)) => Ok(Some((duration, text_of(&value)))),
            _ => Err(Fault::Invocation(format!("'{name}' needs a number of seconds, 0 or more"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Function, Parameter, keyword, optional, required};
    use super::*;

    fn function(parameters: &'static [Parameter], is_variadic: bool) -> Function {
        let body = |_, _| -> super::super::Running { unreachable!("binding runs nothing") };
        let function = Function::new("mod.fun", body, "Doc.").takes(parameters);
        if is_variadic { function.takes_more("anything") } else { function }
    }

    fn call(arguments: Value, keywords: Value) -> Call {
        Call {
            function: "mod.fun".to_owned(),
            arguments: serde_json::from_value(arguments).unwrap(),
            keywords: serde_json::from_value(keywords).unwrap(),
        }
    }

    const THREE: &[Parameter] = &[required("a", ""), optional("b", "5", ""), keyword("k", "null", "")];

    #[test]
    fn binds() {
        for (arguments, keywords, expected) in [
            (json!([1]), json!({}), json!({"a": 1, "b": 5, "k": null})),
            (json!([1, 2]), json!({}), json!({"a": 1, "b": 2, "k": null})),
            (json!([1]), json!({"b": 3, "k": [4]}), json!({"a": 1, "b": 3, "k": [4]})),
            (json!([]), json!({"b": 3, "a": null}), json!({"a": null, "b": 3, "k": null})),
        ] {
            let bound = bind(&function(THREE, false).signature(), &call(arguments, keywords)).unwrap();
            assert_eq!(Value::Object(bound.values), expected);
            assert!(bound.rest.is_empty() && bound.extra.is_empty());
        }
        let bound =
            bind(&function(THREE, true).signature(), &call(json!([1, 2, 3, 4]), json!({"x": 1, "k": 2})))
                .unwrap();
        assert_eq!(bound.rest, [json!(3), json!(4)]);
        assert_eq!(Value::Object(bound.extra), json!({"x": 1}));
        assert_eq!(bound.values["k"], 2);
    }

    #[test]
    fn refuses() {
        const NONE: &[Parameter] = &[];
        const ONE: &[Parameter] = &[required("text", "")];
        const MANY: &[Parameter] = &[required("a", ""), required("b", ""), required("c", "")];
        const ONLY: Parameter = Parameter { is_keyword_only: true, ..required("k", "") };
        const MIXED: &[Parameter] = &[required("a", ""), ONLY];
        let arguments = |text: &str| Fault::Arguments(text.to_owned());
        let invalid =
            |text: &str| Fault::Invocation(format!("The following keyword arguments are not valid: {text}"));
        for (parameters, args, keywords, expected) in [
            (NONE, json!([]), json!({"foo": "bar"}), invalid("foo=bar")),
            (NONE, json!([1]), json!({"x": true, "y": 2}), invalid("x=True, y=2")),
            (NONE, json!([1]), json!({}), arguments("fun() takes 0 positional arguments but 1 was given")),
            (ONE, json!([]), json!({}), arguments("fun() missing 1 required positional argument: 'text'")),
            (ONE, json!([1, 2]), json!({}), arguments("fun() takes 1 positional argument but 2 were given")),
            (ONE, json!([1]), json!({"text": 1}), arguments("fun() got multiple values for argument 'text'")),
            (
                THREE,
                json!([1, 2, 3]),
                json!({}),
                arguments("fun() takes from 1 to 2 positional arguments but 3 were given"),
            ),
            (
                MANY,
                json!([1]),
                json!({}),
                arguments("fun() missing 2 required positional arguments: 'b' and 'c'"),
            ),
            (MIXED, json!([]), json!({}), arguments("fun() missing 1 required positional argument: 'a'")),
            (MIXED, json!([1]), json!({}), arguments("fun() missing 1 required keyword-only argument: 'k'")),
            (
                MANY,
                json!([]),
                json!({}),
                arguments("fun() missing 3 required positional arguments: 'a', 'b', and 'c'"),
            ),
        ] {
            assert_eq!(bind(&function(parameters, false).signature(), &call(args, keywords)), Err(expected));
        }
    }

    #[test]
    fn typed_values() {
        const P: &[Parameter] = &[required("p", "")];
        let bound =
            |value: Value| bind(&function(P, false).signature(), &call(json!([value]), json!({}))).unwrap();
        assert_eq!(bound(json!("x")).text("p"), Ok("x".to_owned()));
        assert_eq!(bound(json!(5)).text("p"), Ok("5".to_owned()));
        assert_eq!(bound(json!(null)).maybe_text("p"), Ok(None));
        assert!(bound(json!(null)).text("p").is_err());
        assert!(bound(json!([])).text("p").is_err());
        assert_eq!(bound(json!(true)).flag("p"), Ok(true));
        assert!(bound(json!("yes")).flag("p").is_err());
        let seconds = |value: Value| bound(value).seconds("p");
        assert_eq!(seconds(json!(1)), Ok(Some((Duration::from_secs(1), "1".to_owned()))));
        assert_eq!(seconds(json!("1.5")), Ok(Some((Duration::from_millis(1500), "1.5".to_owned()))));
        assert_eq!(seconds(json!(null)), Ok(None));
        for bad in
            [json!(-1), json!("soon"), json!("nan"), json!("inf"), json!(1e300), json!([1]), json!(true)]
        {
            assert!(seconds(bad.clone()).is_err(), "{bad}");
        }
    }
}
