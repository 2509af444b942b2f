//! A program on a pseudo-terminal, and the screen that its output draws.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nix::pty::{Winsize, openpty};

/// How long anything may take to appear.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running program with its screen.
pub struct Terminal {
    child: Child,
    keyboard: File,
    output: Receiver<(Instant, Vec<u8>)>,
    screen: vt100::Parser,
    last: Instant,
}

impl Terminal {
    /// Starts a program on a terminal of this size.
    ///
    /// # Panics
    /// There is no terminal, or no such program.
    #[must_use]
    pub fn open(mut command: Command, columns: u16, rows: u16) -> Self {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).expect("a terminal");
        let end = || Stdio::from(pty.slave.try_clone().expect("descriptors are left"));
        let child = command
            .env("TERM", "xterm-256color")
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .expect("a program");
        drop(command);
        let keyboard = File::from(pty.master);
        let mut reading = keyboard.try_clone().expect("descriptors are left");
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 65536];
            while let Ok(n @ 1..) = reading.read(&mut buffer) {
                if sender.send((Instant::now(), buffer[..n].to_vec())).is_err() {
                    break;
                }
            }
        });
        let screen = vt100::Parser::new(rows, columns, 0);
        Self { child, keyboard, output, screen, last: Instant::now() }
    }

    /// Types.
    ///
    /// # Panics
    /// The terminal is gone.
    pub fn type_text(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).expect("a terminal");
    }

    /// Waits until the screen is as asked; when the bytes arrived that made it so.
    ///
    /// # Panics
    /// It is not so in time.
    pub fn until(&mut self, is_so: impl Fn(&str) -> bool) -> Instant {
        loop {
            if is_so(&self.screen.screen().contents()) {
                return self.last;
            }
            let Ok((at, bytes)) = self.output.recv_timeout(PATIENCE) else {
                panic!("waited in vain; the screen is:\n{}", self.screen.screen().contents());
            };
            self.screen.process(&bytes);
            self.last = at;
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
