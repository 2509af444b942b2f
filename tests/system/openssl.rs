//! Keys and fingerprints, as openssl sees them.

use std::path::Path;

use brine_tests::Fleet;

use crate::run;

/// `openssl pkey -pubin -outform DER | sha256sum` in the form of our fingerprints.
fn openssl_fingerprint(public: &Path) -> String {
    let script = "openssl pkey -pubin -in \"$1\" -outform DER | sha256sum | cut -d' ' -f1";
    let digits = run(&["sh", "-c", script, "sh", public.to_str().unwrap()]).expect(0).stdout;
    let digits = digits.trim();
    assert_eq!(digits.len(), 64, "{digits}");
    (0..32).map(|i| &digits[2 * i..2 * i + 2]).collect::<Vec<_>>().join(":")
}

#[test]
fn fingerprints_agree() {
    let fleet = Fleet::start();
    let m1 = fleet.stranger("m1");
    fleet.until_key(&m1, "pending");
    let expected = openssl_fingerprint(&m1.root().join("etc/brine/pki/minion/minion.pub"));
    assert!(fleet.brine_key(&["-f", "m1"]).expect(0).stdout.contains(&expected));
    let master = openssl_fingerprint(&fleet.root().join("etc/brine/pki/master/master.pub"));
    assert!(fleet.brine_key(&["-F"]).expect(0).stdout.contains(&master));
    assert_eq!(fleet.state().unwrap()["fingerprint"], master);
}

/// The one test that makes a key of the default size.
#[test]
fn a_generated_key_of_4096_bits_is_readable() {
    let fleet = Fleet::prepare("");
    let folder = fleet.dir().join("new");
    std::fs::create_dir(&folder).unwrap();
    let mut command = fleet.command("brine-key", &["--gen-keys", "web7"]);
    command.current_dir(&folder);
    brine_tests::Done::run(command).expect(0);
    let private = folder.join("web7.pem");
    let private = private.to_str().unwrap();
    let checked = run(&["openssl", "pkey", "-in", private, "-check", "-noout"]).expect(0);
    assert!(format!("{}{}", checked.stdout, checked.stderr).contains("valid"), "{checked:?}");
    let text = run(&["openssl", "pkey", "-in", private, "-text", "-noout"]).expect(0).stdout;
    assert!(text.contains("4096 bit"), "{}", &text[..80]);
    assert!(text.contains("publicExponent: 65537"));
    let derived = run(&["openssl", "pkey", "-in", private, "-pubout"]).expect(0).stdout;
    assert_eq!(derived, std::fs::read_to_string(folder.join("web7.pub")).unwrap());
}

#[test]
fn a_key_made_by_openssl_is_used_as_it_is() {
    let fleet = Fleet::start();
    let mut m1 = fleet.prepare_minion("m1");
    let pki = m1.root().join("etc/brine/pki/minion");
    std::fs::remove_file(pki.join("minion.pub")).unwrap();
    let private = pki.join("minion.pem");
    run(&[
        "openssl",
        "genpkey",
        "-quiet",
        "-algorithm",
        "RSA",
        "-pkeyopt",
        "rsa_keygen_bits:3072",
        "-out",
        private.to_str().unwrap(),
    ])
    .expect(0);
    m1.start();
    brine_tests::eventually(10.0, "the public key is written beside it", || pki.join("minion.pub").exists());
    fleet.until_key(&m1, "pending");
    assert!(
        fleet
            .brine_key(&["-f", "m1"])
            .expect(0)
            .stdout
            .contains(&openssl_fingerprint(&pki.join("minion.pub")))
    );
}
