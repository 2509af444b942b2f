//! Programs that are not there: each writes down how it was called, and says what it was told to.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tempfile::TempDir;

use super::super::Context;

/// A folder of programs that a [`Context`] finds instead of the system's.
pub(in super::super) struct Fakes {
    folder: TempDir,
    rules: usize,
}

impl Fakes {
    pub(in super::super) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), rules: 0 }
    }

    /// Has `program` answer calls whose arguments contain `part`. Rules are looked at in the order they
    /// were made; each gives its replies (retcode, stdout, stderr) in turn, and the last one for ever.
    pub(in super::super) fn answer(
        &mut self,
        program: &str,
        part: &str,
        replies: &[(i32, &str, &str)],
    ) -> &mut Self {
        let rule = self.path(&format!("rule-{}", self.rules));
        self.rules += 1;
        for (at, (code, out, err)) in replies.iter().enumerate() {
            let at = at + 1;
            for (name, text) in [("out", *out), ("err", err), ("code", &code.to_string())] {
                fs::write(format!("{}.{at}.{name}", rule.display()), text).unwrap();
            }
        }
        let (file, rule, max) = (self.path(program), rule.display(), replies.len());
        let calls = self.path("calls");
        let start = format!(
            "#!/bin/sh\nprintf '%s' '{program}' >>'{calls}'\nprintf ' %s' \"$@\" >>'{calls}'\necho >>'{calls}'\n",
            calls = calls.display()
        );
        let mut script = fs::read_to_string(&file).unwrap_or(start);
        let end = "echo \"not expected: $*\" >&2\nexit 99\n";
        script.truncate(script.len() - if script.ends_with(end) { end.len() } else { 0 });
        script.push_str(&format!(
            "case \"$*\" in *'{part}'*)\n  n=0; [ -e '{rule}.n' ] && read -r n <'{rule}.n'\n  \
             [ \"$n\" -lt {max} ] && n=$((n + 1)); echo \"$n\" >'{rule}.n'\n  \
             /bin/cat \"{rule}.$n.out\"; /bin/cat \"{rule}.$n.err\" >&2\n  \
             exit \"$(/bin/cat \"{rule}.$n.code\")\";;\nesac\n{end}"
        ));
        // Renamed into place: a program that is open for writing cannot be run.
        let draft = self.path(&format!("{program}.draft"));
        fs::write(&draft, script).unwrap();
        fs::set_permissions(&draft, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(draft, file).unwrap();
        self
    }

    /// The context with these programs and no others.
    pub(in super::super) fn context(&self, context: Context) -> Context {
        Context { path: self.folder.path().display().to_string(), ..context }
    }

    /// How programs were called since the last look, one line each: name and arguments.
    pub(in super::super) fn calls(&self) -> Vec<String> {
        let file = self.path("calls");
        let calls = fs::read_to_string(&file).unwrap_or_default();
        let _ = fs::remove_file(file);
        calls.lines().map(str::to_owned).collect()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}
