//! A program on a terminal of its own, whose screen a test reads and on which it types.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use nix::pty::{Winsize, openpty};

use crate::wait::{eventually, within};

/// A running program, and all that it has written to its terminal.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    keys: File,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    /// Starts a program on a terminal of 80 columns.
    ///
    /// # Panics
    /// There is no terminal, or no such program.
    #[must_use]
    pub fn start(mut command: Command) -> Self {
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(&size, None).expect("a terminal");
        let end = || Stdio::from(pty.slave.try_clone().expect("descriptors are left"));
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().expect("a program");
        // The ends that the command keeps would keep the reader waiting for ever.
        drop(command);
        drop(pty.slave);
        let written = Arc::new(Mutex::new(Vec::new()));
        let mut screen = File::from(pty.master.try_clone().expect("descriptors are left"));
        let page = Arc::clone(&written);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // A terminal without a program behind it is an error to read.
            while let Ok(read @ 1..) = screen.read(&mut buffer) {
                page.lock().expect("unpoisoned").extend_from_slice(&buffer[..read]);
            }
        });
        Self { child, keys: File::from(pty.master), written }
    }

    /// All that was written so far, with what moves the cursor.
    ///
    /// # Panics
    /// The reader has panicked.
    #[must_use]
    pub fn written(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().expect("unpoisoned")).into_owned()
    }

    /// Waits until this was written.
    pub fn until(&self, text: &str) {
        eventually(20.0, &format!("the terminal shows {text:?}"), || self.written().contains(text));
    }

    /// Types.
    ///
    /// # Panics
    /// The terminal is gone.
    pub fn type_text(&mut self, text: &str) {
        self.keys.write_all(text.as_bytes()).expect("a terminal");
    }

    /// The program's process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("process ids are small")
    }

    /// Waits for the end of the program and gives its exit code.
    ///
    /// # Panics
    /// It still runs after 20 seconds, or a signal has ended it.
    pub fn code(&mut self) -> i32 {
        let status = within(20.0, "the program ends", || self.child.try_wait().ok().flatten());
        status.code().expect("it ended by itself")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- terminal ----\n{}", self.written());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
