//! `sys.*`: what this minion can do.

use std::collections::BTreeSet;
use std::sync::Arc;

use brine_protocol::glob;
use brine_protocol::job::canonical;
use serde_json::{Map, Value};

use super::bind::Bound;
use super::custom::{CustomFunction, Description};
use super::signature::Signature;
use super::{Context, Fault, Function, Outcome, table, text_of};

pub(super) fn functions() -> Vec<Function> {
    const NAMES: &str = "names or globs, separate; all when none is given (text)";
    vec![
        Function::new(
            "sys.doc",
            |context, bound| Box::pin(doc(context, bound)),
            "Returns the documentation of functions, chosen by module or function.",
        )
        .takes_more(NAMES)
        .returns("{function: text}")
        .example("sys.doc test.ping cmd"),
        Function::new(
            "sys.list_functions",
            |context, bound| Box::pin(list_functions(context, bound)),
            "Returns the names of functions, chosen by module or function.",
        )
        .takes_more(NAMES)
        .example("sys.list_functions file"),
        Function::new(
            "sys.list_modules",
            |context, bound| Box::pin(list_modules(context, bound)),
            "Returns the names of modules.",
        )
        .takes_more(NAMES),
        Function::new(
            "sys.argspec",
            |context, bound| Box::pin(argspec(context, bound)),
            "Returns what functions take, chosen by module or function.",
        )
        .takes_more(NAMES)
        .returns("{function: {args: [name…], defaults: [value…] or None, varargs, kwargs: True or None}}")
        .example("sys.argspec test.echo"),
        Function::new(
            "sys.reload_modules",
            |context, _| Box::pin(reload_modules(context)),
            "Asks each custom module anew what it can do, and returns True.",
        )
        .returns("True; the minion's log names the modules that are not used, and why"),
    ]
}

async fn doc(context: Context, bound: Bound) -> Result<Outcome, Fault> {
    let wanted = wanted(&bound)?;
    let custom = custom(&wanted, &context).await;
    let docs: Map<String, Value> = signatures(&custom)
        .filter(|signature| is_wanted(signature, &wanted))
        .map(|signature| (signature.name.to_owned(), Value::from(signature.doc())))
        .collect();
    Ok(Outcome::from(Value::Object(docs)))
}

async fn argspec(context: Context, bound: Bound) -> Result<Outcome, Fault> {
    let wanted = wanted(&bound)?;
    let custom = custom(&wanted, &context).await;
    let specs: Map<String, Value> = signatures(&custom)
        .filter(|signature| is_wanted(signature, &wanted))
        .map(|signature| (signature.name.to_owned(), signature.argspec()))
        .collect();
    Ok(Outcome::from(Value::Object(specs)))
}

async fn list_functions(context: Context, bound: Bound) -> Result<Outcome, Fault> {
    let wanted = wanted(&bound)?;
    let custom = custom(&wanted, &context).await;
    let names: BTreeSet<String> = signatures(&custom)
        .filter(|signature| is_wanted(signature, &wanted))
        .map(|signature| signature.name.to_owned())
        .collect();
    Ok(Outcome::from(names.into_iter().collect::<Vec<_>>()))
}

async fn list_modules(context: Context, bound: Bound) -> Result<Outcome, Fault> {
    let wanted = wanted(&bound)?;
    let custom = custom(&wanted, &context).await;
    let modules: BTreeSet<String> =
        signatures(&custom).map(|signature| signature.module().to_owned()).collect();
    let is_wanted =
        |module: &String| wanted.is_empty() || wanted.iter().any(|pattern| glob::matches(pattern, module));
    Ok(Outcome::from(modules.into_iter().filter(is_wanted).collect::<Vec<_>>()))
}

async fn reload_modules(context: Context) -> Result<Outcome, Fault> {
    context.modules.forget();
    // Asked now, so that the log says at once which of them are not used.
    context.modules.all(|_| true, &context).await;
    Ok(Outcome::from(true))
}

/// The custom modules that can have something of what is wanted: asking others could take time.
async fn custom(wanted: &[String], context: &Context) -> Vec<Arc<Description>> {
    let may_be_wanted = |module: &str| {
        let is_meant = |pattern: &String| {
            let is_glob = pattern.contains(['*', '?', '[']);
            is_glob || pattern.split('.').next() == Some(module)
        };
        wanted.is_empty() || wanted.iter().any(is_meant)
    };
    context.modules.all(may_be_wanted, context).await
}

/// Everything this minion can run.
fn signatures<'a>(custom: &'a [Arc<Description>]) -> impl Iterator<Item = Signature<'a>> {
    let builtin = table().iter().map(|function| -> Signature<'a> { function.signature() });
    builtin.chain(custom.iter().flat_map(|module| &module.functions).map(CustomFunction::signature))
}

fn wanted(bound: &Bound) -> Result<Vec<String>, Fault> {
    if let Some((name, value)) = bound.extra.iter().next() {
        let why = format!("The following keyword arguments are not valid: {name}={}", text_of(value));
        return Err(Fault::Invocation(why));
    }
    let text = |value: &Value| value.as_str().map(str::to_owned);
    bound
        .rest
        .iter()
        .map(|value| {
            text(value).ok_or_else(|| Fault::Invocation("modules and functions are texts".to_owned()))
        })
        .map(|name| {
            name.map(
                |name| if name == "saltutil" { "brine".to_owned() } else { canonical(&name).into_owned() },
            )
        })
        .collect()
}

/// A name without a dot is a module; globs are over whole function names, as in Salt, so that
/// `test.*` and `*ping` both work.
fn is_wanted(signature: &Signature<'_>, wanted: &[String]) -> bool {
    let is_meant = |pattern: &String| pattern == signature.module() || glob::matches(pattern, signature.name);
    wanted.is_empty() || wanted.iter().any(is_meant)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{assert_shape, call, context, returned};

    #[tokio::test]
    async fn lists() {
        let context = context();
        for (function, args, expected) in [
            ("sys.list_modules", json!(["cm*", "sys"]), json!(["cmd", "sys"])),
            (
                "sys.list_functions",
                json!(["sys"]),
                json!([
                    "sys.argspec",
                    "sys.doc",
                    "sys.list_functions",
                    "sys.list_modules",
                    "sys.reload_modules"
                ]),
            ),
            (
                "sys.list_functions",
                json!(["test.f*", "*t.ping"]),
                json!(["test.false", "test.fib", "test.ping"]),
            ),
            ("sys.list_functions", json!(["nosuch"]), json!([])),
            (
                "sys.argspec",
                json!(["test.echo", "test.arg", "grains.get"]),
                json!({
                    "grains.get": {"args": ["key", "default", "delimiter"], "defaults": ["", ":"], "varargs": null, "kwargs": null},
                    "test.arg": {"args": [], "defaults": null, "varargs": true, "kwargs": true},
                    "test.echo": {"args": ["text"], "defaults": null, "varargs": null, "kwargs": null},
                }),
            ),
        ] {
            let result = returned(&[call(function, args.clone(), json!({}))], &context).await;
            assert_shape(function, &result.value);
            assert_eq!((result.value, result.retcode), (expected, 0), "{function} {args}");
        }
        let modules = returned(&[call("sys.list_modules", json!([]), json!({}))], &context).await.value;
        assert!(modules.as_array().unwrap().len() >= 20, "{modules}");
    }

    #[tokio::test]
    async fn docs_have_their_example() {
        let docs = returned(&[call("sys.doc", json!([]), json!({}))], &context()).await.value;
        assert_shape("sys.doc", &docs);
        let docs = docs.as_object().unwrap();
        assert_eq!(docs.len(), super::table().len());
        for (name, doc) in docs {
            let doc = doc.as_str().unwrap();
            assert!(doc.contains(&format!("\n    brine '*' {name}")), "{name} has no example");
            assert!(doc.lines().next().unwrap().ends_with('.'), "{name} does not begin with a sentence");
        }
        let one = returned(&[call("sys.doc", json!(["test.ping"]), json!({}))], &context()).await.value;
        assert_eq!(one.as_object().unwrap().keys().collect::<Vec<_>>(), ["test.ping"]);
        let bad = returned(&[call("sys.doc", json!([]), json!({"x": 1}))], &context()).await;
        assert_eq!(
            bad.value,
            "ERROR executing 'sys.doc': The following keyword arguments are not valid: x=1"
        );
    }
}
