//! `brine-tui` in a real terminal, against a live master and live minions.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

use brine_tests::{Fleet, eventually, within};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{FlowArg, LocalFlags, tcflow, tcgetattr};
use nix::unistd::Pid;

use crate::tmux::Screen;

/// The first of the groups in which the screen shows a fingerprint.
pub(crate) fn start_of(fingerprint: &str) -> &str {
    &fingerprint[..11]
}

/// Brings the cursor to this id's line: the filter leaves only what it matches.
pub(crate) fn find(screen: &Screen, id: &str) {
    screen.press("Escape");
    screen.type_text("/");
    screen.type_text(id);
    screen.press("Enter");
    screen.until(&[&format!("filter: {id}"), "1 of 1"]);
}

pub(crate) fn open(fleet: &Fleet) -> Screen {
    let screen = Screen::open(&fleet.command("brine-tui", &[]), 120, 40);
    screen.until(&["[Pending", "live"]);
    screen
}

#[test]
fn keys_are_decided_about_while_they_arrive() {
    let fleet = Fleet::start();
    let screen = open(&fleet);
    let master = fleet.state().unwrap()["fingerprint"].as_str().unwrap().to_owned();
    // The empty list says how to point a minion here.
    screen.until(&["[Pending 0]", &format!("master_finger: '{master}'")]);

    let m1 = fleet.stranger("m1");
    let m2 = fleet.stranger("m2");
    let m3 = fleet.stranger("m3");
    for minion in [&m1, &m2, &m3] {
        screen.until(&["[Pending 3]", &minion.id, start_of(&minion.fingerprint())]);
    }

    // No is the default: Enter changes nothing.
    find(&screen, "m3");
    screen.type_text("a");
    screen.until(&["Accept m3", start_of(&m3.fingerprint())]);
    screen.press("Enter");
    screen.until_that("the question gone", |text| !text.contains("Accept m3"));
    assert_eq!(fleet.key_state("m3", &m3.fingerprint()).as_deref(), Some("pending"));

    find(&screen, "m1");
    screen.type_text("a");
    screen.until(&["Accept m1", start_of(&m1.fingerprint())]);
    screen.type_text("y");
    screen.until(&["Accepted 1", "m1 is accepted"]);
    screen.press("Escape");
    screen.until(&["[Pending 2]"]);
    fleet.until_up("m1");
    fleet.ping("m1");

    // Another operator decides meanwhile, and the screen says so by itself.
    fleet.brine_key(&["-r", "m2", "-y"]).expect(0);
    screen.until(&["[Pending 1]", "Rejected 1"]);

    // A machine of a known name comes with another key.
    let impostor = fleet.stranger_with("m1", "m4", "");
    screen.until(&["Denied 1"]);
    fleet.ping("m1");
    screen.press("Escape");
    screen.press("Tab");
    screen.until(&["[Denied 1]", start_of(&impostor.fingerprint())]);
    // Its detail has both keys, side by side.
    screen.press("Enter");
    screen.until(&[start_of(&impostor.fingerprint()), start_of(&m1.fingerprint()), "History"]);
    assert_eq!(fleet.key_state("m1", &m1.fingerprint()).as_deref(), Some("accepted"));

    screen.press("Escape");
    screen.type_text("q");
    screen.until(&["rc=0", "restored"]);
}

#[test]
fn an_accept_is_undone_and_a_suspension_too() {
    let fleet = Fleet::start();
    let m1 = fleet.stranger("m1");
    let screen = open(&fleet);
    screen.until(&["[Pending 1]", "m1"]);
    screen.type_text("a");
    screen.until(&["Accept m1"]);
    screen.type_text("y");
    screen.until(&["Accepted 1"]);
    fleet.until_up("m1");

    screen.press("Tab");
    screen.press("Tab");
    screen.until(&["[Accepted 1]", start_of(&m1.fingerprint())]);
    screen.type_text("s");
    screen.until(&["Suspend m1"]);
    screen.type_text("y");
    screen.until(&["Suspended 1"]);
    eventually(5.0, "m1 is cut off", || fleet.presence("m1") != "up");
    screen.type_text("u");
    screen.until(&["Undo"]);
    screen.type_text("y");
    screen.until(&["Suspended 0", "[Accepted 1]"]);
    fleet.until_up("m1");
    fleet.ping("m1");
}

#[test]
fn a_lost_master_is_said_and_found_again() {
    let mut fleet = Fleet::prepare_with_ports("");
    fleet.start_master();
    let _m1 = fleet.stranger("m1");
    let _m2 = fleet.stranger("m2");
    let screen = open(&fleet);
    screen.until(&["[Pending 2]"]);
    find(&screen, "m2");
    screen.press("Space");
    screen.until(&["1 key selected"]);

    fleet.kill_master();
    screen.until(&["not connected"]);
    fleet.start_master();
    // What was filtered and chosen still is.
    screen.until_that("live again, with filter and selection", |text| {
        text.contains("live") && text.contains("filter: m2") && text.contains("1 key selected")
    });

    screen.resize(60, 15);
    screen.until_that("drawn for the small screen", |text| {
        text.lines().all(|line| line.chars().count() <= 60) && text.contains("m2") && text.contains("live")
    });
    screen.resize(40, 8);
    screen.until(&["needs 60 columns"]);
    screen.resize(100, 30);
    screen.until(&["filter: m2"]);

    kill(Pid::from_raw(screen.pid()), Signal::SIGTERM).unwrap();
    screen.until(&["rc=143", "restored"]);
}

#[test]
fn it_comes_back_from_wherever_it_was_sent() {
    let fleet = Fleet::start();
    let _m1 = fleet.stranger("m1");
    let screen = open(&fleet);
    screen.until(&["[Pending 1]", "m1"]);
    let is_ours = |text: &str| text.contains("[Pending 1]") && !text.contains("stopped with");

    // Drawn anew, and still listening.
    screen.press("C-l");
    screen.type_text("?");
    screen.until(&["Help"]);
    screen.press("Escape");
    screen.until_that("the help gone", |text| !text.contains("Help") && is_ours(text));

    let stops: [(&str, &dyn Fn()); 3] = [
        ("Ctrl-Z", &|| screen.press("C-z")),
        ("SIGTSTP", &|| kill(Pid::from_raw(screen.pid()), Signal::SIGTSTP).unwrap()),
        ("SIGSTOP", &|| kill(Pid::from_raw(screen.pid()), Signal::SIGSTOP).unwrap()),
    ];
    for (what, stop) in stops {
        stop();
        screen.until(&["stopped with"]);
        screen.press("C-j");
        screen.until_that(&format!("the list again after {what}"), is_ours);
        // A key counts without Enter.
        screen.type_text("?");
        screen.until(&["Help"]);
        screen.press("Escape");
        screen.until_that("the help gone", |text| !text.contains("Help") && is_ours(text));
    }
    kill(Pid::from_raw(screen.pid()), Signal::SIGQUIT).unwrap();
    screen.until(&["rc=131", "restored"]);
}

#[test]
fn the_window_changes_its_size_while_things_happen() {
    let fleet = Fleet::start();
    let m1 = fleet.stranger("m1");
    let fingerprint = m1.fingerprint();
    let screen = open(&fleet);
    screen.until(&["[Pending 1]", "m1"]);
    screen.press("Enter");
    for _ in 0..8 {
        screen.resize(70, 16);
        // Forgotten, its minion knocks again: an event each.
        fleet.brine_key(&["-d", "m1", "-y"]).expect(0);
        screen.resize(120, 40);
        eventually(10.0, "m1 knocks again", || fleet.key_state("m1", &fingerprint).is_some());
    }
    screen.resize(70, 16);
    screen.until_that("drawn for the small screen", |text| {
        text.contains("live") && text.lines().all(|line| line.chars().count() <= 70)
    });
    screen.type_text("q");
    screen.until(&["rc=0", "restored"]);
}

#[test]
fn a_terminal_that_takes_no_bytes_does_not_hold_it() {
    let fleet = Fleet::start();
    let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    let pty = openpty(&size, None).unwrap();
    let end = || Stdio::from(pty.slave.try_clone().unwrap());
    let mut command = fleet.command("brine-tui", &[]);
    let mut child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
    let mut master = File::from(pty.master.try_clone().unwrap());
    let (mut shown, mut buffer) = (Vec::new(), [0; 4096]);
    while !String::from_utf8_lossy(&shown).contains("live") {
        let read = master.read(&mut buffer).unwrap();
        shown.extend_from_slice(&buffer[..read]);
    }
    tcflow(&pty.slave, FlowArg::TCOOFF).unwrap();
    master.write_all(b"?").unwrap();
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    let code = within(10.0, "the program ends", || child.try_wait().unwrap()).code();
    assert_eq!(code, Some(143));
    let flags = tcgetattr(&pty.slave).unwrap().local_flags;
    assert!(flags.contains(LocalFlags::ICANON | LocalFlags::ECHO), "lines and echo are back");
}

#[test]
fn without_a_terminal_or_a_master_it_says_so() {
    let fleet = Fleet::prepare("");
    let screen = Screen::open(&fleet.command("brine-tui", &[]), 100, 20);
    screen.until(&["rc=3", "restored"]);
    let piped: Command = fleet.command("brine-tui", &[]);
    brine_tests::Done::run(piped).refused(2, &["terminal"]);
}
