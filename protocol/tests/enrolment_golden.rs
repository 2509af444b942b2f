//! The bodies that came with server records and enrolment tokens, byte for byte; still version 1,
//! which only grew.
//!
//! These bytes have shipped: do not change this test or a file in `golden/v1-enrolment`. A body
//! that has to be written otherwise is a new version with golden files of its own beside these.

mod bytes;

use brine_protocol::Secret;
use brine_protocol::message::{Knock, ToMaster, ToMinion, TokenRefused};
use bytes::{Golden, Said, names};

const GOLDEN: Golden = Golden("v1-enrolment");

fn to_master() -> Said<ToMaster> {
    let token = "brt_00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff".to_owned();
    let knock = Knock {
        host: "web1".into(),
        os: "Debian 12.8".into(),
        version: "0.1.0".into(),
        server: Some("Collège Éluard".into()),
        token: Some(Secret::from(token)),
        ..Knock::default()
    };
    vec![("knock", 1, ToMaster::Knock(knock))]
}

fn to_minion() -> Said<ToMinion> {
    let refused = TokenRefused { why: "the token has expired".into() };
    vec![("token_refused", 42, ToMinion::TokenRefused(refused))]
}

#[test]
fn writes_and_reads_these_bytes() {
    GOLDEN.check_to_master(to_master());
    GOLDEN.check_to_minion(to_minion());
    GOLDEN.check_all_read(names(&to_master()).into_iter().chain(names(&to_minion())));
}
