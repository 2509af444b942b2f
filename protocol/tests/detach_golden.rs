//! Detached orders, byte for byte. These bytes have shipped: see `golden.rs`.

#[expect(dead_code, reason = "minions send no orders")]
mod bytes;

use brine_protocol::job::Call;
use brine_protocol::message::{Order, ToMinion};
use brine_protocol::target::Target;
use bytes::{Golden, Said, names};
use serde_json::Map;

const GOLDEN: Golden = Golden("v1-detach");

fn to_minion() -> Said<ToMinion> {
    let call = Call { function: "cmd.run".into(), arguments: vec!["uptime".into()], keywords: Map::new() };
    let order = Order {
        jid: "20261122060732000100".parse().expect("a jid"),
        number: 1_795_327_652_000_100,
        calls: vec![call],
        target: Target::glob("web*"),
        job_timeout_ms: None,
        expires_in_ms: None,
        principal: "unix:1000 (alice)".to_owned(),
        detach: true,
    };
    vec![("order", 35, ToMinion::Order(Box::new(order)))]
}

#[test]
fn what_a_master_says() {
    GOLDEN.check_to_minion(to_minion());
}

#[test]
fn every_file_is_read_here() {
    GOLDEN.check_all_read(names(&to_minion()));
}
