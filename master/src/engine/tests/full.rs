//! What becomes of tokens and of keys for records while the ledger cannot be written.

use std::cell::Cell;
use std::rc::Rc;

use brine_protocol::control::{ServerRequest, TokenRequest};

use super::rules::Full;
use super::servers::{request, server_answer};
use super::*;
use crate::engine::{BundleDone, BundleStep, MadeKey, ServerAnswer, ServerAsk};

const KEY: &str = include_str!("../../../../pki/tests/keys/minion.pub");

struct Disk {
    engine: Engine<Full>,
    is_full: Rc<Cell<bool>>,
    now: Now,
}

impl Disk {
    fn new() -> Self {
        let is_full = Rc::new(Cell::new(false));
        let log = Full { log: MemoryLedger::default(), is_full: Rc::clone(&is_full) };
        let trust = Trust::with_log(log, WaitingLimits::default()).expect("a ledger");
        let now = Now { wall: Timestamp(1_795_327_652_000_000), steady: Duration::from_secs(1) };
        let random = Box::new(|bytes: &mut [u8]| bytes.fill(7));
        Self { engine: Engine::new(settings(), trust, memory(), random, now), is_full, now }
    }

    fn input(&mut self, input: Input) -> Out {
        self.engine.handle(input, self.now);
        Out(std::iter::from_fn(|| self.engine.poll_output()).collect())
    }

    fn server(&mut self, ask: ServerAsk) -> Out {
        let request = Request { id: RequestId(1), principal: root(), ask: Ask::Server(ask) };
        self.input(Input::Request(Box::new(request)))
    }

    fn knock(&mut self, conn: u64, token: &Secret) -> Out {
        let opened = Opened {
            conn: ConnId(conn),
            id: id("web1"),
            key: b"web1".to_vec(),
            fingerprint: fingerprint("web1"),
            address: Ipv4Addr::new(10, 0, 0, 1).into(),
            resumed: None,
        };
        let knock = Knock { token: Some(token.clone()), ..Knock::default() };
        self.input(Input::Opened { opened: Box::new(opened), first: ToMaster::Knock(knock) })
    }
}

#[test]
fn a_minion_whose_token_could_not_be_used_comes_again_with_it() {
    let mut disk = Disk::new();
    let wanted = TokenRequest {
        server: None,
        id_pattern: Some("*".to_owned()),
        uses: None,
        expires_s: None,
        reason: None,
    };
    let out = disk.server(ServerAsk::CreateToken(wanted));
    let ServerAnswer::TokenMade { secret, .. } = server_answer(&out) else { panic!("{out:?}") };
    let secret = secret.clone();
    disk.is_full.set(true);
    let out = disk.knock(1, &secret);
    assert!(out.cut(1), "its session ends: {out:?}");
    assert!(!out.sent(1).iter().any(|message| matches!(message, ToMinion::TokenRefused(_))), "{out:?}");
    assert_eq!(out.tags(), ["brine/key/web1/pending"], "it was not refused");
    disk.input(Input::Closed { conn: ConnId(1), why: "ledger_failed" });
    disk.is_full.set(false);
    let out = disk.knock(2, &secret);
    assert!(matches!(out.sent(2)[..], [ToMinion::Standing(Standing::Accepted { .. })]), "{out:?}");
}

#[test]
fn a_key_that_could_not_be_accepted_does_not_stay_on_disk() {
    let mut disk = Disk::new();
    let wanted = ServerRequest { preseed: true, ..request("web1") };
    let out = disk.server(ServerAsk::Create(None, Box::new(wanted)));
    let wish = out.0.iter().find_map(|output| match output {
        Output::Bundle(BundleStep::Make(wish)) => Some(wish.clone()),
        _ => None,
    });
    let wish = wish.expect("a wish");
    disk.is_full.set(true);
    let made = MadeKey { key: PublicKey::from_pem(KEY).expect("a key"), until: wish.until(disk.now.wall) };
    let made =
        BundleDone::Made { server: wish.server, number: wish.number, made: Ok(made), gone: BTreeSet::new() };
    let out = disk.input(Input::Bundle(made));
    assert_eq!(problem(&out).kind, ProblemKind::Degraded);
    let is_dropped = |output: &Output| matches!(output, Output::Bundle(BundleStep::Drop(server)) if *server == wish.server);
    assert!(out.0.iter().any(is_dropped), "{out:?}");
    assert!(out.0.iter().all(|output| !matches!(output, Output::Answer { .. })), "at once");
}
