//! A real terminal: `tmux` runs a program, types keys, and says what is on the screen.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use brine_tests::within;

static SCREENS: AtomicUsize = AtomicUsize::new(0);

/// A program on a screen of its own, under a shell that says how it ended.
pub(crate) struct Screen {
    server: String,
}

impl Screen {
    /// Runs a command on a screen of this many columns and rows. When it has ended, the shell
    /// prints `rc=` and whether the terminal is as it was, and stays. When it has stopped, the
    /// shell says so, and a line feed brings it to the foreground again.
    pub(crate) fn open(command: &Command, columns: u16, rows: u16) -> Self {
        let number = SCREENS.fetch_add(1, Ordering::Relaxed);
        let screen = Self { server: format!("brine-{}-{number}", std::process::id()) };
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let quoted: Vec<String> =
            words.map(|word| format!("'{}'", word.to_str().unwrap().replace('\'', r"'\''"))).collect();
        // What the shell sees of the terminal before and after has to be the same.
        let script = format!(
            "before=$(stty -g); set -m; {}; code=$?; \
             while jobs -s | grep -q .; do echo \"stopped with $code\"; read line; fg; code=$?; done; \
             echo \"rc=$code\"; \
             if [ \"$before\" = \"$(stty -g)\" ]; then echo restored; else echo broken; fi; cat",
            quoted.join(" ")
        );
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let words = ["new-session", "-d", "-x", &columns, "-y", &rows, "bash", "-c", &script];
        let output = screen.tmux(&words);
        assert!(output.is_some(), "tmux starts");
        screen
    }

    fn tmux(&self, words: &[&str]) -> Option<String> {
        let output = Command::new("tmux")
            .env_remove("TMUX")
            .env("LC_ALL", "C.UTF-8")
            .args(["-L", &self.server, "-f", "/dev/null", "-u"])
            .args(words)
            .stdin(Stdio::null())
            .output()
            .expect("tmux is there");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// What is on the screen.
    pub(crate) fn text(&self) -> String {
        self.tmux(&["capture-pane", "-p"]).unwrap_or_default()
    }

    /// Types text as it is.
    pub(crate) fn type_text(&self, text: &str) {
        self.tmux(&["send-keys", "-l", "--", text]).expect("tmux takes keys");
    }

    /// Presses a key by tmux's name for it: `Enter`, `Escape`, `Tab`, `Down`.
    pub(crate) fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]).expect("tmux takes keys");
    }

    /// Makes the screen another size.
    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        let (columns, rows) = (columns.to_string(), rows.to_string());
        self.tmux(&["resize-window", "-x", &columns, "-y", &rows]).expect("tmux resizes");
    }

    /// Waits until all of this is on the screen together, and returns the screen.
    #[track_caller]
    pub(crate) fn until(&self, wanted: &[&str]) -> String {
        self.until_that(&format!("{wanted:?} on the screen"), |text| {
            wanted.iter().all(|word| text.contains(word))
        })
    }

    /// Waits until the screen is as it should be, and returns it.
    #[track_caller]
    pub(crate) fn until_that(&self, what: &str, mut is_so: impl FnMut(&str) -> bool) -> String {
        let seen = std::cell::RefCell::new(String::new());
        let shown = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            within(10.0, what, || {
                *seen.borrow_mut() = self.text();
                is_so(&seen.borrow()).then(|| seen.borrow().clone())
            })
        }));
        shown.unwrap_or_else(|_| panic!("waited in vain for {what}; the screen is:\n{}", seen.borrow()))
    }

    /// The process of the program, a child of the pane's shell.
    pub(crate) fn pid(&self) -> i32 {
        let shell = self.tmux(&["display-message", "-p", "#{pane_pid}"]).expect("tmux knows the pane");
        let shell = shell.trim();
        within(5.0, "the program runs", || {
            let children = fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).ok()?;
            children.split_whitespace().last()?.parse().ok()
        })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}
