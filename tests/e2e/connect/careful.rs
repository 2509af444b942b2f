//! What brine-connect.sh takes, and what it will not touch.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use brine_tests::Done;
use brine_tests::binaries::program;

use super::machine::Machine;
use super::{TOKEN, sha2_of};

#[test]
fn a_token_file_has_a_token_in_whatever_form() {
    let machine = Machine::new();
    let file = machine.fleet.dir().join("token");
    let path = file.display().to_string();
    let before = machine.tree();
    for text in ["", "\n", " \t\n", "\r\n", &format!("\n{TOKEN}\n")] {
        fs::write(&file, text).unwrap();
        machine.connect(&["--token-file", &path]).refused(2, &["--token-file", "no token in its first line"]);
    }
    let folder = machine.fleet.dir().display().to_string();
    machine.connect(&["--token-file", &folder]).refused(2, &["cannot be read"]);
    machine.is_as_it_was(&before);

    let here = machine.here();
    let words: Vec<&str> = here.iter().map(String::as_str).collect();
    let written = || machine.text("minion.d/60-enrolment.yaml");
    let expected = format!("\nenrolment_token: '{TOKEN}'\n");
    for text in [format!("{TOKEN}\r\n"), TOKEN.to_owned(), format!(" {TOKEN}\nmore\n")] {
        fs::write(&file, text).unwrap();
        machine.connect(&["--token-file", &path]).expect(0);
        assert!(written().ends_with(&expected), "{:?}", written());
        fs::remove_file(machine.file("minion.d/60-enrolment.yaml")).unwrap();
    }
    let from_stdin = [&words[..], &["--token-file", "/dev/stdin"]].concat();
    Done::run_with_input(machine.command(&from_stdin), &format!("{TOKEN}\n")).expect(0);
    assert!(written().ends_with(&expected), "{:?}", written());
}

#[test]
fn an_option_of_a_later_file_counts_in_quotes_too() {
    let machine = Machine::new();
    fs::create_dir_all(machine.file("minion.d")).unwrap();
    fs::write(machine.file("minion.yaml"), "log_level: debug\n").unwrap();
    for text in ["\"master_finger\": x\n", "'master' : x\n"] {
        fs::write(machine.file("minion.d/70-later.yaml"), text).unwrap();
        let before = machine.tree();
        machine.connect(&["--id", "web1"]).refused(8, &["70-later.yaml sets options"]);
        machine.is_as_it_was(&before);
    }
}

#[test]
fn what_somebody_else_put_there_is_kept() {
    let machine = Machine::new();
    fs::create_dir_all(machine.file("minion.d")).unwrap();
    let theirs = "enrolment_token: theirs\n";
    fs::write(machine.file("minion.d/60-enrolment.yaml"), theirs).unwrap();
    let bin = machine.root.join("usr/local/bin");
    fs::create_dir_all(&bin).unwrap();
    fs::write(bin.join("brine-minion"), "theirs").unwrap();
    let binary = program("brine-minion");
    let (bytes, binary) = (fs::read(&binary).unwrap(), binary.display().to_string());
    let sum = sha2_of(&bytes);
    let flags = ["--id", "web1", "--binary", &binary, "--sha256", &sum];

    let done = machine.connect(&[&flags[..], &["--token", TOKEN]].concat()).expect(0);
    let [backup] = &machine.backups()[..] else { panic!("one backup: {done:?}") };
    assert_eq!(fs::read_to_string(backup.join("60-enrolment.yaml")).unwrap(), theirs);
    assert_eq!(fs::read_to_string(backup.join("brine-minion")).unwrap(), "theirs");
    assert!(fs::read(bin.join("brine-minion")).unwrap() == bytes);
    // What is replaced from now on is the script's own.
    fs::write(bin.join("brine-minion"), "an earlier version").unwrap();
    machine.connect(&[&flags[..], &["--token", "brt_2"]].concat()).expect(0);
    machine.run(&["--uninstall", "--yes"]).expect(0);
    assert!(!bin.join("brine-minion").exists());
    assert!(machine.backups().iter().filter(|backup| backup.join("brine-minion").exists()).count() == 1);

    // The same program, but somebody else's: there is nothing to install, and nothing to remove.
    fs::write(bin.join("brine-minion"), &bytes).unwrap();
    fs::set_permissions(bin.join("brine-minion"), fs::Permissions::from_mode(0o755)).unwrap();
    machine.connect(&flags).expect(0);
    machine.run(&["--uninstall", "--yes"]).expect(0);
    assert!(bin.join("brine-minion").exists());
}

#[test]
fn a_folder_that_every_user_can_write_to_is_refused() {
    let machine = Machine::new();
    fs::create_dir_all(machine.file("pki")).unwrap();
    for (name, mode) in [("", 0o777), ("", 0o1777), ("pki", 0o757)] {
        fs::set_permissions(machine.file(name), fs::Permissions::from_mode(mode)).unwrap();
        let before = machine.tree();
        machine.connect(&["--id", "web1"]).refused(6, &["every user can write", "chmod o-w"]);
        machine.is_as_it_was(&before);
        fs::set_permissions(machine.file(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    machine.connect(&["--id", "web1"]).expect(0);
}

#[test]
fn the_help_tells_how_a_token_file_is_made() {
    let help = Machine::new().run(&["--help"]).expect(0).stdout;
    for words in
        ["(umask 077; brine token create --server NAME --out txt > token)", "brine-key -d ID", "TMPDIR"]
    {
        assert!(help.contains(words), "{words}");
    }
}
