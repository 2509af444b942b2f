//! What the tests of all functions share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use brine_protocol::job::{Call, Returned};
use serde_json::{Map, Value};

use super::{Context, run};
use crate::grains::Grains;

/// A context of a local call, whose grains file is in a folder that goes with the last clone.
pub(super) fn context() -> Context {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("grains");
    let grains = Grains::load("m1".parse().unwrap(), Map::new(), Some(file)).unwrap();
    let context = Context::local("m1".parse().unwrap(), Arc::new(grains));
    // The callback owns the folder, so it lives as long as the context.
    let keep = move |_| {
        let _ = &folder;
    };
    Context { on_pid: Arc::new(keep), ..context }
}

pub(super) fn call(function: &str, arguments: Value, keywords: Value) -> Call {
    Call {
        function: function.to_owned(),
        arguments: serde_json::from_value(arguments).unwrap(),
        keywords: serde_json::from_value(keywords).unwrap(),
    }
}

pub(super) async fn returned(calls: &[Call], context: &Context) -> Returned {
    run(calls, context).await.unwrap()
}

/// Waits until `condition` holds; false when it does not within ten seconds.
pub(super) async fn eventually(condition: impl Fn() -> bool) -> bool {
    let end = Instant::now() + Duration::from_secs(10);
    while Instant::now() < end {
        if condition() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    condition()
}
