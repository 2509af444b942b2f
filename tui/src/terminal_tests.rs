//! A program of ours on a pseudo-terminal, ended in every way but SIGKILL: the terminal is as it
//! was. The program is this test binary again, told to run the same test: there the test takes over
//! the terminal that it finds and ends as it says, instead of checking.

use std::fs::File;
use std::io::Read;
use std::process::{Child, Command, Stdio};

use nix::pty::{OpenptyResult, Winsize, openpty};
use nix::sys::termios::{LocalFlags, tcgetattr};

use super::*;

/// Tells a test that it is the program.
const PROGRAM: &str = "BRINE_TUI_TEST_PROGRAM";

/// What is written when the alternate screen is left.
const LEFT: &str = "\u{1b}[?1049l";

/// Runs this test as a program on a terminal of its own.
fn start(test: &str) -> (OpenptyResult, Child) {
    let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    let pty = openpty(&size, None).unwrap();
    let end = || Stdio::from(pty.slave.try_clone().unwrap());
    let child = Command::new(std::env::current_exe().unwrap())
        .args([&format!("terminal::tests::{test}"), "--exact", "--nocapture"])
        .env(PROGRAM, test)
        .stdin(end())
        .stdout(end())
        .stderr(end())
        .spawn()
        .unwrap();
    (pty, child)
}

/// Lets a program do this with its screen, and returns what it wrote until it ended with this code.
/// In the program itself this does not return.
#[track_caller]
fn check(test: &str, code: i32, program: fn(Screen)) -> String {
    if std::env::var_os(PROGRAM).is_some() {
        program(Screen::open(Size::new(80, 24)).unwrap());
        std::process::exit(0);
    }
    let (pty, mut child) = start(test);
    let before = tcgetattr(&pty.slave).unwrap().local_flags;
    assert!(before.contains(LocalFlags::ICANON | LocalFlags::ECHO));
    let (mut master, mut written) = (File::from(pty.master.try_clone().unwrap()), Vec::new());
    let mut buffer = [0; 4096];
    // What it writes has to be read while it runs: a terminal holds little.
    let has_left = |written: &[u8]| String::from_utf8_lossy(written).contains(LEFT);
    while !has_left(&written) || child.try_wait().unwrap().is_none() {
        let mut ready = [PollFd::new(pty.master.as_fd(), PollFlags::POLLIN)];
        if poll(&mut ready, PollTimeout::from(50u16)).unwrap() > 0 {
            let read = master.read(&mut buffer).unwrap();
            written.extend_from_slice(&buffer[..read]);
        } else if child.try_wait().unwrap().is_some() {
            break;
        }
    }
    assert_eq!(child.wait().unwrap().code(), Some(code), "{}", String::from_utf8_lossy(&written));
    assert_eq!(tcgetattr(&pty.slave).unwrap().local_flags, before, "lines and echo are as they were");
    let written = String::from_utf8_lossy(&written).into_owned();
    let (entered, left) = (written.find("\u{1b}[?1049h"), written.find(LEFT));
    assert!(entered.is_some() && left > entered, "{written:?}");
    let after = &written[left.unwrap()..];
    assert!(written.contains(MOUSE_OFF) && !after.contains("\u{1b}[?1049h"), "{written:?}");
    assert!(after.contains("\u{1b}[?25h"), "the cursor is shown again");
    written
}

#[test]
fn the_end_gives_the_terminal_back() {
    check("the_end_gives_the_terminal_back", 0, drop);
}

#[test]
fn a_panic_gives_the_terminal_back_first_and_is_then_told() {
    let test = "a_panic_gives_the_terminal_back_first_and_is_then_told";
    let written = check(test, 101, |_screen| panic!("a broken promise"));
    let told = written.find("a broken promise").expect("the panic is told");
    assert!(told > written.find(LEFT).unwrap(), "on the screen that stays: {written:?}");
}

#[test]
fn a_panic_elsewhere_ends_it_too() {
    let written = check("a_panic_elsewhere_ends_it_too", 101, |_screen| {
        let thread = std::thread::spawn(|| panic!("a broken promise"));
        let _ = thread.join();
        unreachable!("a panic on any thread ends the program");
    });
    assert!(written.contains("a broken promise"));
}

#[test]
fn a_screen_that_shrinks_before_anybody_says_so_is_drawn_all_the_same() {
    let test = "a_screen_that_shrinks_before_anybody_says_so_is_drawn_all_the_same";
    let written = check(test, 0, |mut screen| {
        let mut app = crate::samples::app(crate::samples::fleet());
        // The terminal has 80 columns and 24 rows.
        for size in [Size::new(120, 40), Size::new(70, 16), Size::new(200, 50)] {
            app.update(crate::app::Input::Resize(size));
            screen.draw(&app, Theme::new(true)).unwrap();
        }
    });
    assert!(written.contains("Brine keys"), "{written:?}");
}
