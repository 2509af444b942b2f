//! With real executables in a folder of their own.

mod calls;
mod descriptions;
mod files;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::super::testing::{call, context, returned};
use super::super::{Context, UNAVAILABLE};
use super::Modules;

/// A minion with a folder of modules.
struct Rig {
    folder: TempDir,
    context: Context,
}

impl Rig {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let context = Context { modules: Modules::of(folder.path().to_owned()), ..context() };
        Self { folder, context }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// Puts a file in place whole: a program that is open for writing cannot be run.
    fn put(&self, file: &str, text: &str, mode: u32) {
        let draft = self.path(".draft");
        fs::write(&draft, text).unwrap();
        fs::set_permissions(&draft, fs::Permissions::from_mode(mode)).unwrap();
        fs::rename(draft, self.path(file)).unwrap();
    }

    /// A script with these cases for `describe` and `call`.
    fn script(&self, file: &str, describe: &str, call: &str) {
        let text = format!(
            "#!/bin/sh\ncase \"$1\" in\ndescribe) {describe} ;;\ncall) {call} ;;\n*) exit 9 ;;\nesac\n"
        );
        self.put(file, &text, 0o700);
    }

    /// A script that describes itself so.
    fn module(&self, file: &str, description: &Value, call: &str) {
        self.script(file, &format!("cat <<'END'\n{description}\nEND\n"), call);
    }

    async fn call(&self, function: &str, args: Value, keywords: Value) -> (Value, i32) {
        let returned = returned(&[call(function, args, keywords)], &self.context).await;
        (returned.value, returned.retcode)
    }

    /// Why a module that is there is not used.
    async fn refusal(&self, function: &str) -> String {
        let (value, retcode) = self.call(function, json!([]), json!({})).await;
        assert_eq!(retcode, UNAVAILABLE, "{value}");
        let text = value.as_str().unwrap();
        let module = function.split('.').next().unwrap();
        let begin = format!("'{function}' is not available: the custom module {module} (");
        assert!(text.starts_with(&begin) && !text.contains('\n'), "{text}");
        let listed = self.call("sys.list_modules", json!([]), json!({})).await.0;
        assert!(!listed.as_array().unwrap().contains(&json!(module)) || is_builtin(module), "{listed}");
        text.split_once(") is not used: ").unwrap().1.to_owned()
    }
}

fn is_builtin(module: &str) -> bool {
    super::super::table().iter().any(|function| function.name.starts_with(&format!("{module}.")))
}

/// One function without parameters.
fn one(function: &str) -> Value {
    json!({"functions": {function: {"doc": "Does it."}}})
}
