//! The terminal: taken over, and given back as it was, whatever happens in between.

use std::io::{self, IsTerminal, Stdout, Write, stdin, stdout};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, raise};
use nix::unistd::{getpgrp, getsid};
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, DisableBracketedPaste, EnableBracketedPaste, Event};
use ratatui::crossterm::style::Print;
use ratatui::crossterm::terminal::{
    BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
    disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{execute, queue};
use ratatui::layout::{Rect, Size};
use ratatui::{Terminal, TerminalOptions, Viewport};
use tokio::sync::mpsc;

use crate::app::App;
use crate::sixteen::Sixteen;
use crate::view::{self, Theme};

/// Whether the terminal is ours now: giving it back twice would spoil what others wrote meanwhile.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// Reports buttons and the wheel, in the form that knows no widest screen. Not motion: that would
/// be a flood of events that mean nothing here.
const MOUSE_ON: &str = "\u{1b}[?1000h\u{1b}[?1006h";
const MOUSE_OFF: &str = "\u{1b}[?1006l\u{1b}[?1000l";

/// The screen, ours while this lives.
pub(crate) struct Screen {
    terminal: Terminal<CrosstermBackend<Sixteen<Stdout>>>,
    /// What was last drawn for.
    size: Size,
}

/// Why there is no screen to be had; one sentence.
pub(crate) fn no_terminal() -> Option<&'static str> {
    if !stdin().is_terminal() || !stdout().is_terminal() {
        return Some("input and output have to be a terminal; scripts use brine-key");
    }
    if std::env::var_os("TERM").is_some_and(|term| term == "dumb") {
        return Some("this terminal (TERM=dumb) cannot move its cursor; use brine-key");
    }
    None
}

impl Screen {
    /// Takes the terminal over. A panic from here on gives it back and ends the program: half a
    /// screen that nobody moves any more would tell lies.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn open(size: Size) -> io::Result<Self> {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            before(panic);
            std::process::exit(101);
        }));
        take()?;
        // Fixed, because the state alone says how large the screen is: asked a second time, the
        // terminal could say something else than what the state was laid out for.
        let options = TerminalOptions { viewport: Viewport::Fixed(area(size)) };
        let backend = CrosstermBackend::new(Sixteen::new(stdout()));
        let terminal = Terminal::with_options(backend, options).inspect_err(|_| give_back())?;
        Ok(Self { terminal, size })
    }

    /// Draws what has changed, as one update where the terminal knows such a thing.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn draw(&mut self, app: &App, theme: Theme) -> io::Result<()> {
        queue!(self.terminal.backend_mut(), BeginSynchronizedUpdate)?;
        if self.size != app.size {
            self.size = app.size;
            self.clear()?;
        }
        self.terminal.draw(|frame| view::draw(app, theme, frame))?;
        execute!(self.terminal.backend_mut(), EndSynchronizedUpdate)
    }

    /// Forgets what is on the screen: the next frame is drawn whole.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        // `Terminal::clear` would ask where the cursor is, and the answer is input: the thread that
        // reads it is another one. This does not ask.
        self.terminal.resize(area(self.size))
    }

    /// Goes to the background, and comes back when the shell says so. Without a shell that could
    /// say so it stays.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn suspend(&mut self) -> io::Result<()> {
        // The group of the session's leader has nobody above it who would wake it.
        if getsid(None)? == getpgrp() {
            return Ok(());
        }
        give_back();
        // To this thread, so that it stops here and not a moment later. SIGTSTP is handled, and
        // would not stop anything.
        raise(Signal::SIGSTOP)?;
        self.resume()
    }

    /// Takes the terminal over again, after a shell or somebody else may have had it.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn resume(&mut self) -> io::Result<()> {
        // What is raw already is not made raw again, whatever a shell made of it meanwhile.
        disable_raw_mode()?;
        take()?;
        self.clear()
    }
}

fn area(size: Size) -> Rect {
    Rect::new(0, 0, size.width, size.height)
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn take() -> io::Result<()> {
    enable_raw_mode()?;
    IS_TAKEN.store(true, Ordering::SeqCst);
    execute!(stdout(), EnterAlternateScreen, EnableBracketedPaste, Print(MOUSE_ON))
        .inspect_err(|_| give_back())
}

fn give_back() {
    if IS_TAKEN.swap(false, Ordering::SeqCst) {
        // The terminal may be gone: there is nobody left to tell.
        let _ = execute!(
            stdout(),
            EndSynchronizedUpdate,
            Print(MOUSE_OFF),
            DisableBracketedPaste,
            LeaveAlternateScreen,
            Show
        );
        let _ = disable_raw_mode();
        let _ = stdout().flush();
    }
}

/// Makes the terminal what a shell expects of it as far as that takes no writing: somebody else may
/// be stuck in writing to it.
pub(crate) fn abandon() {
    // The terminal may be gone: there is nobody left to tell.
    let _ = disable_raw_mode();
}

/// Reads what is typed, on a thread of its own, until nobody wants it or nothing can be read. An
/// error is the last thing that comes.
pub(crate) fn read_input() -> mpsc::Receiver<io::Result<Event>> {
    let (sender, receiver) = mpsc::channel(256);
    let gone = sender.clone();
    std::thread::spawn(move || {
        loop {
            let read = event::read();
            let is_last = read.is_err();
            if sender.blocking_send(read).is_err() || is_last {
                return;
            }
        }
    });
    // A terminal that is gone makes the reader spin, not fail: somebody else has to notice.
    std::thread::spawn(move || {
        let why = wait_for_hang_up().err().map_or_else(|| io::Error::other("it is gone"), io::Error::from);
        // Nobody listens any more: then it is over already.
        let _ = gone.blocking_send(Err(why));
    });
    receiver
}

/// Waits until the terminal is gone.
fn wait_for_hang_up() -> nix::Result<()> {
    let stdin = stdin();
    // Asked for nothing, the system reports only that.
    let mut watched = [PollFd::new(stdin.as_fd(), PollFlags::empty())];
    loop {
        match poll(&mut watched, PollTimeout::NONE) {
            Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error),
            Ok(_) => return Ok(()),
        }
    }
}

#[cfg(test)]
#[path = "terminal_tests.rs"]
mod tests;
