//! Custom modules from the master.

use serde_json::{Value, json};

use super::super::bind::Bound;
use super::super::{Context, Fault, Function, Outcome, Parameter, is_builtin, keyword, optional};

const PARAMETERS: &[Parameter] = &[
    optional("saltenv", "null", "ignored: there is one environment (text)"),
    optional("refresh", "true", "ignored: a module is there as soon as it is in place (boolean)"),
    keyword("timeout", "60", "longest wait for each answer of the master (seconds)"),
];

pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new(
            "brine.sync_modules",
            |context, bound| {
                Box::pin(async move {
                    let changed = sync(context, bound).await?;
                    Ok(Outcome::from(changed))
                })
            },
            "Makes the custom modules of the minion those of the master.\n\n\
             Those that differ are fetched, checked and put in place one by one; what came from the master and is \
             there no longer is removed. What an administrator put there by hand stays, and is never overwritten.",
        )
        .takes(PARAMETERS)
        .returns(
            "list of the modules that are new or others now, as modules.NAME; an error that names them when some \
             were not taken, which leaves the others done, or when the master does not answer",
        )
        .example("brine.sync_modules"),
        Function::new(
            "brine.sync_all",
            |context, bound| {
                Box::pin(async move {
                    let changed = sync(context, bound).await?;
                    Ok(Outcome::from(json!({ "modules": changed })))
                })
            },
            "Does what brine.sync_modules does: modules are all there is to synchronise.",
        )
        .takes(PARAMETERS)
        .returns("{modules: [modules.NAME…]}; errors as brine.sync_modules")
        .example("brine.sync_all"),
    ]
}

async fn sync(context: Context, mut bound: Bound) -> Result<Vec<Value>, Fault> {
    bound.value("saltenv");
    bound.flag("refresh")?;
    let Some((patience, _)) = bound.seconds("timeout")? else {
        return Err(Fault::Invocation("'timeout' needs a number of seconds".to_owned()));
    };
    let Some(folder) = context.modules.folder() else {
        return Err(Fault::Execution("this minion has no folder of custom modules".to_owned()));
    };
    let synced = context.syncs.sync(folder, patience, is_builtin).await;
    context.modules.forget();
    let synced = synced.map_err(Fault::Execution)?;
    let mut changed: Vec<String> = synced.changed.iter().map(|module| format!("modules.{module}")).collect();
    changed.sort();
    if synced.notices.is_empty() {
        return Ok(changed.into_iter().map(Value::from).collect());
    }
    let changed = if changed.is_empty() { "nothing".to_owned() } else { changed.join(", ") };
    Err(Fault::Execution(format!("{}; changed: {changed}", synced.notices.join("; "))))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use brine_protocol::modules::{Digest, Listed, Module, Modules as Told};
    use sha2::{Digest as _, Sha256};
    use tokio::sync::mpsc;

    use super::super::super::Modules;
    use super::super::super::testing::{assert_shape, call, context, returned};
    use super::*;
    use crate::sync::{Answer, Ask, Wish};

    /// A module, as its file says what it can do and does it.
    fn module(said: &str) -> bytes::Bytes {
        let script = format!(
            "#!/bin/sh\ncase $1 in describe) echo '{{\"functions\": {{\"say\": {{\"doc\": \"Says.\"}}}}}}';; \
             *) cat > /dev/null; echo '{{\"return\": \"{said}\"}}';; esac\n"
        );
        script.into()
    }

    /// Answers for a master that has the module `foo`, until nobody asks any more.
    async fn serve(mut asks: mpsc::UnboundedReceiver<Ask>, mut versions: Vec<bytes::Bytes>) {
        let mut body = bytes::Bytes::new();
        while let Some(ask) = asks.recv().await {
            let answer = match ask.wish {
                Wish::List => {
                    let mut told = Told::default();
                    if !versions.is_empty() {
                        body = versions.remove(0);
                        let sha256 = Digest(Sha256::digest(&body).into());
                        let listed = Listed { sha256, size: body.len() };
                        told.files.insert("foo.sh".parse().unwrap(), listed);
                    }
                    Answer::Listed(Box::new(told))
                }
                Wish::Fetch(name, sha256) => {
                    let (body, size) = (body.clone(), body.len());
                    Answer::Fetched(Box::new(Module { ask: 0, name, sha256, size, refused: None, body }))
                }
            };
            ask.answer.send(answer).unwrap();
        }
    }

    #[tokio::test]
    async fn a_module_is_there_as_soon_as_it_is_in_place_and_gone_with_the_masters() {
        let folder = tempfile::tempdir().unwrap();
        let (syncs, asks) = crate::sync::channel();
        let modules = Modules::of(folder.path().join("modules"));
        let context = Context { modules, syncs: Arc::clone(&syncs), ..context() };
        tokio::spawn(serve(asks, vec![module("one"), module("one"), module("two")]));
        let run = async |function: &str| {
            let returned = returned(&[call(function, json!([]), json!({}))], &context).await;
            (returned.value, returned.retcode)
        };
        assert_eq!(run("foo.say").await.1, super::super::super::UNAVAILABLE);
        let (changed, retcode) = run("saltutil.sync_modules").await;
        assert_shape("brine.sync_modules", &changed);
        assert_eq!((changed, retcode), (json!(["modules.foo"]), 0));
        assert_eq!(run("foo.say").await, (json!("one"), 0));
        assert_eq!(run("brine.sync_modules").await, (json!([]), 0));
        let (changed, retcode) = run("brine.sync_all").await;
        assert_shape("brine.sync_all", &changed);
        assert_eq!((changed, retcode), (json!({"modules": ["modules.foo"]}), 0));
        assert_eq!(run("foo.say").await, (json!("two"), 0));
        assert_eq!(run("brine.sync_all").await, (json!({"modules": []}), 0));
        assert_eq!(run("foo.say").await.1, super::super::super::UNAVAILABLE);
    }

    #[tokio::test]
    async fn what_is_not_taken_is_named_in_an_error() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("foo.sh"), "by hand").unwrap();
        let (syncs, asks) = crate::sync::channel();
        tokio::spawn(serve(asks, vec![module("one")]));
        let modules = Modules::of(folder.path().to_owned());
        let context = Context { modules, syncs, ..context() };
        let told = returned(&[call("brine.sync_modules", json!([]), json!({}))], &context).await;
        let said = told.value.as_str().unwrap();
        assert!(said.starts_with("ERROR: foo.sh: another file of this name is here"), "{said}");
        assert!(said.ends_with("; changed: nothing") && told.retcode == 1, "{said}");
        let alone = Context { syncs: Arc::default(), ..context.clone() };
        let told = returned(&[call("brine.sync_all", json!([]), json!({"timeout": 1}))], &alone).await;
        assert!(told.value.as_str().unwrap().contains("no master to ask"), "{}", told.value);
    }
}
