//! Refused acts, in the ledger.

use std::cell::RefCell;
use std::rc::Rc;

use brine_pki::ledger::{Deed, Draft, Entry, Hash, LedgerError, Log};
use brine_protocol::control::{ImportRequest, RotateMaster};

use super::*;

/// A ledger that can be read from outside.
struct Shared(Rc<RefCell<MemoryLedger>>);

impl Log for Shared {
    fn append_all(&mut self, drafts: Vec<Draft>, at: Timestamp) -> Result<Vec<Entry>, LedgerError> {
        self.0.borrow_mut().append_all(drafts, at)
    }

    fn entries(&self) -> Result<Vec<Entry>, LedgerError> {
        self.0.borrow().entries()
    }

    fn head(&self) -> Hash {
        self.0.borrow().head()
    }
}

fn import_of(name: &str, dry_run: bool) -> Ask {
    let servers = vec![*wanted(name, Some("Lyon"), None)];
    Ask::Server(ServerAsk::Import(ImportServers { servers, keep_going: true, dry_run, reason: None }))
}

#[test]
fn refused_acts_about_trust_are_in_the_ledger() {
    let ledger = Rc::new(RefCell::new(MemoryLedger::default()));
    let trust = Trust::with_log(Shared(Rc::clone(&ledger)), WaitingLimits::default()).expect("a ledger");
    let random = Box::new(|bytes: &mut [u8]| bytes.fill(7));
    let mut now = Now { wall: Timestamp(1_795_327_652_000_000), steady: Duration::from_secs(1) };
    let mut engine = Engine::new(settings(), trust, memory(), random, now);
    let mut handle = |input, seconds: u64| {
        now.steady += Duration::from_secs(seconds);
        engine.handle(input, now);
        let out = Out(std::iter::from_fn(|| engine.poll_output()).collect());
        out.0.iter().filter(|output| matches!(output, Output::Count("acts_refused"))).count()
    };
    let asked = |principal, ask| Input::Request(Box::new(Request { id: RequestId(1), principal, ask }));
    let lines = || -> Vec<String> {
        let entries = ledger.borrow().entries().expect("entries");
        let refused = entries.into_iter().filter_map(|entry| match entry.deed {
            Deed::Refuse { verb, subject } => Some(format!("{}: {verb}: {subject}", entry.by)),
            _ => None,
        });
        refused.collect()
    };

    handle(asked(root(), create(1, "x", Some("Lyon"), None)), 0);
    let opened = Opened {
        conn: ConnId(1),
        id: id("web1"),
        key: b"web1".to_vec(),
        fingerprint: fingerprint("web1"),
        address: Ipv4Addr::new(10, 0, 0, 1).into(),
        resumed: None,
    };
    handle(Input::Opened { opened: Box::new(opened), first: ToMaster::Knock(Knock::default()) }, 0);

    let admin = who(&json!({"role": "admin", "zones": ["Dijon"]}), false);
    let viewer = who(&json!({"role": "viewer"}), false);
    let import = ImportRequest { keys: vec![], reason: None };
    let id = server(1);
    let print = fingerprint("web1");
    for (by, ask, line) in [
        (&admin, act_on(Act::Reject, &["web1"]), format!("keys_act: reject web1 {print}")),
        (&viewer, act_on(Act::Accept, &["web1", "no"]), format!("keys_act: accept web1 {print} and 1 more")),
        (&admin, Ask::Import(import), "keys_import: 0 keys".to_owned()),
        (&admin, Ask::Rotate(RotateMaster { grace_s: 1, reason: None }), "master_rotate: start".to_owned()),
        (&admin, Ask::FinishRotation, "master_rotate: finish".to_owned()),
        (&admin, Ask::WithdrawRotation, "master_rotate: withdraw".to_owned()),
        (&admin, change(1, json!({"name": "y"})), format!("servers_edit: update server {id}")),
        (&admin, import_of("x", false), "servers_edit: server \"x\"".to_owned()),
        (&admin, import_of("y", true), "servers_edit: server \"y\"".to_owned()),
        (&admin, unpair(1, KeyFate::Reject), format!("servers_link: unpair server {id}")),
        (&admin, token(None), "servers_link: create token".to_owned()),
    ] {
        let before = lines().len();
        assert_eq!(handle(asked(by.clone(), ask), 0), 1, "{line}");
        assert_eq!(lines()[before..], [format!("unix:1000 (zoe): {line}")]);
    }
    // Reads, acts that do not fit, and what is no decision about trust, are not.
    let before = lines().len();
    for (by, ask) in [
        (&admin, Ask::Server(ServerAsk::Show(id))),
        (&admin, change(9, json!({"name": "y"}))),
        (&viewer, Ask::Submit { request: request("*", "cmd.run"), idempotency: None }),
        (&root(), act_on(Act::Reject, &["no"])),
    ] {
        assert_eq!(handle(asked(by.clone(), ask), 0), 0);
    }
    assert_eq!(lines().len(), before);

    // A thousand tries are counted, and the ledger stays short.
    let tries = |n: usize| (0..n).map(|n| format!("n{n}")).collect::<Vec<_>>();
    let refused: usize =
        tries(1000).iter().map(|name| handle(asked(viewer.clone(), act_on(Act::Accept, &[name])), 0)).sum();
    assert_eq!((refused, lines().len()), (1000, 20), "of one caller, whatever its role was");
    assert_eq!(handle(asked(viewer.clone(), act_on(Act::Accept, &["late"])), 10), 1);
    assert_eq!(lines().len(), 21);
    let stranger = || Input::Refused {
        who: "unix:1003 (eve)".to_owned(),
        verb: Verb::KeysAct,
        subject: "POST /v1/keys/act".to_owned(),
    };
    assert_eq!(handle(stranger(), 0) + handle(stranger(), 59), 2);
    assert_eq!(lines()[21..], ["unix:1003 (eve): keys_act: POST /v1/keys/act"]);
}
