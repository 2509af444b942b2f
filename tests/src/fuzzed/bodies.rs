//! Bodies of the control API. The first byte says of which type the rest is.

use std::fmt::Debug;

use brine_protocol::control as api;
use brine_protocol::server::ServerRecord;
use brine_protocol::target::{Expression, Nodegroups, Target};
use serde::Serialize;
use serde::de::DeserializeOwned;

type Reader = fn(&[u8]);

/// What operators and other applications send. A type keeps its place: the corpus names it.
const REQUESTS: [Reader; 20] = [
    job,
    target,
    create,
    change,
    same::<api::SignalRequest>,
    same::<api::ImportRequest>,
    same::<api::KeyActRequest>,
    same::<api::PreseedRequest>,
    same::<api::PairRequest>,
    same::<api::UnpairRequest>,
    import,
    same::<api::TokenRequest>,
    same::<api::RotateMaster>,
    same::<api::MinionsQuery>,
    same::<api::JobsQuery>,
    same::<api::KeysQuery>,
    same::<api::DeleteServer>,
    same::<api::RevokeToken>,
    same::<api::KeyName>,
    same::<api::PreseedWish>,
];

/// What a client takes from whoever answers at its master's socket.
const ANSWERS: [Reader; 20] = [
    same::<api::JobView>,
    same::<api::JobEvent>,
    same::<api::JobSummary>,
    same::<api::Minion>,
    same::<api::Event>,
    same::<api::Health>,
    same::<api::MasterState>,
    same::<api::Problem>,
    same::<api::Key>,
    same::<api::KeyActResult>,
    same::<api::Decision>,
    same::<api::Server>,
    same::<api::ServerMade>,
    same::<api::ServerImported>,
    same::<api::ServerDecision>,
    same::<api::Matched>,
    same::<api::MasterRotation>,
    same::<api::Whoami>,
    same::<api::TokenMade>,
    same::<api::MinionPillar>,
];

pub(super) fn control_body(bytes: &[u8]) {
    one_of(&REQUESTS, bytes);
}

pub(super) fn control_answer(bytes: &[u8]) {
    one_of(&ANSWERS, bytes);
}

fn one_of(readers: &[Reader], bytes: &[u8]) {
    let Some((which, body)) = bytes.split_first() else { return };
    // Letters, so that a corpus can be read.
    let place = usize::from(which.wrapping_sub(b'a')) % readers.len();
    readers[place](body);
}

fn read<T: DeserializeOwned + Serialize>(body: &[u8]) -> Option<T> {
    let value: T = serde_json::from_slice(body).ok()?;
    let written = serde_json::to_vec(&value).expect("what was JSON is JSON");
    let again: T = serde_json::from_slice(&written).unwrap_or_else(|error| {
        panic!("{} cannot be read again: {error}", String::from_utf8_lossy(&written))
    });
    assert_eq!(serde_json::to_vec(&again).expect("JSON"), written, "a body changes as it is written again");
    Some(value)
}

fn same<T: DeserializeOwned + Serialize + Debug>(body: &[u8]) {
    if let Some(value) = read::<T>(body) {
        // Secrets hide themselves there: that has to work for all of them.
        let _ = format!("{value:?}");
    }
}

fn job(body: &[u8]) {
    if let Some(request) = read::<api::JobRequest>(body) {
        asked(&request.target);
        if let Some(batch) = &request.batch {
            let _ = batch.size.of(1000);
        }
    }
}

fn target(body: &[u8]) {
    if let Some(request) = read::<api::TargetRequest>(body) {
        asked(&request.target);
    }
}

fn asked(target: &Target) {
    let _ = Expression::parse(target, &Nodegroups::new());
}

fn create(body: &[u8]) {
    if let Some(request) = read::<api::ServerRequest>(body) {
        let _ = request.record().check();
    }
}

fn change(body: &[u8]) {
    if let Some(change) = read::<api::ServerChange>(body) {
        let before = ServerRecord {
            name: "n".to_owned(),
            model: "m".to_owned(),
            zone: Some("z".to_owned()),
            site: None,
            labels: [("b".to_owned(), "2".to_owned())].into(),
            minion_id: None,
            external_id: None,
        };
        let after = change.apply(before);
        assert_eq!(change.apply(after.clone()), after, "a change that comes twice is one");
    }
}

fn import(body: &[u8]) {
    if let Some(request) = read::<api::ImportServers>(body) {
        for server in &request.servers {
            let _ = server.record().check();
        }
    }
}
