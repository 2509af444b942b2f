use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

const TRUST_KEY: Fingerprint = Fingerprint([1; 32]);

fn granted(signed_s: u64) -> Granted {
    Granted {
        id: "web1".parse().expect("an id"),
        fingerprint: Fingerprint([2; 32]),
        generation: 7,
        signed_s,
        resumption: Zeroizing::new([3; 32]).into(),
    }
}

fn opens(tickets: &Tickets, ticket: &[u8], now_s: u64) -> bool {
    tickets.opened(TRUST_KEY, ticket, now_s).is_some()
}

fn text(folder: &Path) -> String {
    fs::read_to_string(folder.join("tickets.key")).expect("the keys")
}

#[test]
fn a_restart_opens_what_was_given_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let tickets = Tickets::open(folder.path());
    let ticket = tickets.grant(TRUST_KEY, &granted(wall_s()));
    assert!(opens(&tickets, &ticket, wall_s()));
    let mode = fs::metadata(folder.path().join("tickets.key")).expect("the keys").permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    let before = text(folder.path());
    let again = Tickets::open(folder.path());
    assert!(opens(&again, &ticket, wall_s()));
    assert_eq!(text(folder.path()), before, "no key is due");
}

#[test]
fn a_key_gives_way_after_half_a_day_and_opens_for_a_day_longer() {
    let folder = tempfile::tempdir().expect("a folder");
    let tickets = Tickets::open(folder.path());
    let (begin, half) = (wall_s(), AGE_MAX_S / 2);
    let first = tickets.grant(TRUST_KEY, &granted(begin));
    tickets.renew(begin + half - 60);
    assert_eq!(text(folder.path()).lines().count(), 1);
    for n in 1..5 {
        tickets.renew(begin + n * half + 60);
    }
    assert_eq!(text(folder.path()).lines().count(), 3, "one seals, two more open");
    assert!(!opens(&tickets, &first, begin + 60), "its key is destroyed");
    let newest = tickets.grant(TRUST_KEY, &granted(begin + 4 * half));
    assert!(opens(&tickets, &newest, begin + 4 * half + 60));
}

#[test]
fn a_file_that_is_no_good_is_made_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tickets.key");
    let given = |tickets: &Tickets| tickets.grant(TRUST_KEY, &granted(wall_s()));
    let ticket = given(&Tickets::open(folder.path()));
    let whole = text(folder.path());
    let change = |text: &str, mode| {
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("changed");
    };
    let long = whole.repeat(100);
    for (name, text, mode) in [
        ("cut", &whole[..50], 0o600),
        ("no key", "garbage\n", 0o600),
        ("too long", &long, 0o600),
        ("open to others", &whole, 0o640),
    ] {
        change(text, mode);
        let tickets = Tickets::open(folder.path());
        assert!(!opens(&tickets, &ticket, wall_s()), "{name}");
        assert!(opens(&tickets, &given(&tickets), wall_s()), "{name}: there is a new one");
        let mode = fs::metadata(&path).expect("the keys").permissions().mode();
        assert_eq!(mode & 0o7777, 0o600, "{name}");
    }
    change(&whole, 0o600);
    assert!(opens(&Tickets::open(folder.path()), &ticket, wall_s()), "the old file is back");
    change("", 0o600);
    let tickets = Tickets::open(folder.path());
    assert!(opens(&tickets, &given(&tickets), wall_s()), "an empty file has no key");
}

#[test]
fn nothing_is_sealed_under_a_key_that_is_not_on_disk() {
    let folder = tempfile::tempdir().expect("a folder");
    // A folder in place of the file: it can neither be read nor replaced, by nobody.
    fs::create_dir(folder.path().join("tickets.key")).expect("a folder");
    let tickets = Tickets::open(folder.path());
    assert!(tickets.grant(TRUST_KEY, &granted(wall_s())).is_empty());
    fs::remove_dir(folder.path().join("tickets.key")).expect("removed");
    tickets.renew(wall_s());
    assert!(opens(&tickets, &tickets.grant(TRUST_KEY, &granted(wall_s())), wall_s()));
}
