//! Pairs a record with a minion, and parts them.

use brine_client::Exit;
use brine_local::output::escape;
use brine_protocol::control::{
    Key, KeyFate, KeyName, KeyState, KeysQuery, PairRequest, Server, UnpairRequest,
};

use super::change::{capital, fate_sentence};
use super::choose::{Choice, cautions, choose, facts, price};
use super::{Desk, called, in_doubt, linked_minion, resolve};
use crate::cli::failure::Failure;
use crate::cli::options::servers::{Pair, Parting};

pub(super) async fn pair(desk: &mut Desk<'_>, what: &Pair) -> Result<Exit, Failure> {
    let server = resolve(desk.client, &what.server).await?;
    let id = &what.minion_id;
    let query = KeysQuery { id: Some(id.clone()), public_key: false };
    let mut keys = desk.client.keys_of(&query).await?;
    keys.retain(|key| key.id == *id);
    let key = match choose(&keys, &server, id.as_str(), what.expect).map_err(Failure::Refused)? {
        Choice::One(key) => key,
        Choice::Already(_) => {
            desk.show(&format!("{id} is the minion of {} already.\n", called(&server)), &server)?;
            return Ok(Exit::Ok);
        }
        Choice::Several(several) => {
            desk.note(&candidates(&server, &several))?;
            return Err(Failure::Refused(format!(
                "{id} is claimed by {} keys, so nothing was changed; name one with --expect",
                several.len()
            )));
        }
    };
    let price = price(&keys, key, &server, what.replace).map_err(Failure::Refused)?;
    let question = question(&server, key, &price.sentences);
    if !desk.agree(&question, what.yes, true)? {
        return Ok(Exit::Ok);
    }
    let name = KeyName { id: key.id.clone(), fingerprint: key.fingerprint, state: Some(key.state) };
    // Of what was not shown, nothing gives way.
    let (replace, gives_up) = (price.gives_up.is_some(), price.gives_up);
    let request = PairRequest { key: name, replace, gives_up, reason: what.reason.clone() };
    let paired = desk.client.pair(server.id, &request).await;
    let paired =
        paired.map_err(|error| in_doubt(desk, error, &format!("brine server show {}", server.id)))?;
    let accepted = if key.state == KeyState::Accepted { "" } else { "accepted and " };
    desk.show(&format!("Key for minion {id} {accepted}linked to {}.\n", called(&paired)), &paired)?;
    Ok(Exit::Ok)
}

/// A record in full: the operator has its machine before them.
fn described(server: &Server) -> String {
    let record = &server.record;
    let mut facts = vec![format!("model {}", record.model)];
    facts.extend(record.zone.as_deref().map(|zone| format!("zone {zone}")));
    facts.extend(record.site.as_deref().map(|site| format!("site {site}")));
    format!("{}, {}", called(server), escape(&facts.join(", ")))
}

fn question(server: &Server, key: &Key, gives_way: &[String]) -> String {
    let accepted = if key.state == KeyState::Accepted { "" } else { "accepted and " };
    let mut lines = vec![
        format!("The following key is going to be {accepted}linked to {}:", described(server)),
        facts(key),
    ];
    lines.extend(cautions(key, server));
    lines.extend(gives_way.iter().cloned());
    lines.join("\n")
}

fn candidates(server: &Server, keys: &[&Key]) -> String {
    let mut text = format!(
        "Compare these fingerprints with the one that the machine of {} itself shows, then name it:",
        called(server)
    );
    for key in keys {
        text.push_str(&format!(
            "\n{}\n      brine server pair {} {} --expect {}",
            facts(key),
            server.id,
            key.id,
            key.fingerprint
        ));
    }
    text
}

pub(super) async fn unpair(desk: &mut Desk<'_>, text: &str, parting: &Parting) -> Result<Exit, Failure> {
    let server = resolve(desk.client, text).await?;
    let link = linked_minion(&server)?;
    let fate = parting.key.unwrap_or(KeyFate::Reject);
    let question = format!(
        "{} is going to be parted from its minion.\n{}",
        capital(&called(&server)),
        fate_sentence(fate, link)
    );
    if !desk.agree(&question, parting.yes, false)? {
        return Ok(Exit::Ok);
    }
    let expect = Some(link.fingerprint);
    let request = UnpairRequest { key: fate, expect, reason: parting.reason.clone() };
    let parted = desk.client.unpair(server.id, &request).await;
    let parted =
        parted.map_err(|error| in_doubt(desk, error, &format!("brine server show {}", server.id)))?;
    desk.show(&format!("{} has no minion any more.\n", capital(&called(&parted))), &parted)?;
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use brine_protocol::Fingerprint;
    use brine_protocol::control::{Problem, ProblemKind};
    use serde_json::json;

    use super::super::choose::tests::key;
    use super::super::tests::{Fake, linked, refusal, server};
    use super::*;

    const ONE: &str = "01010101-0101-4101-8101-010101010101";

    fn fake(keys: Vec<Key>) -> Fake {
        Fake::new(move |line, body| match line.replace(ONE, "<1>").as_str() {
            "GET /v1/servers?named=web1" => json!([server(1, "web1")]),
            "GET /v1/servers?named=nosuch" => json!([]),
            "GET /v1/servers?named=twice" => json!([server(1, "twice"), server(2, "twice")]),
            "GET /v1/keys?public_key=false&id=m1" => json!(keys),
            "POST /v1/servers/<1>/pair" if body["reason"] == json!("late") => {
                refusal(&Problem::new(ProblemKind::Conflict, "the key is no longer pending"))
            }
            "POST /v1/servers/<1>/pair" => {
                assert_eq!(body["key"]["state"], "pending", "what was seen is what is done");
                json!(linked(server(1, "web1"), "m1", 1))
            }
            other => panic!("unexpected {other}"),
        })
    }

    #[tokio::test]
    async fn the_fingerprint_is_shown_and_asked_about() {
        let fake = fake(vec![key(KeyState::Pending, 1)]);
        for (line, input, pairs) in [
            ("server pair web1 m1", "\n", 1),
            ("server pair web1 m1", "n\n", 0),
            ("server pair web1 m1 -y --out json", "", 1),
        ] {
            fake.forget();
            let ran = fake.run(line, input).await;
            assert_eq!((ran.exit(), fake.asked("POST")), (Exit::Ok, pairs), "{line}");
            for part in ["accepted and linked to the server record web1", &Fingerprint([1; 32]).to_string()] {
                assert!(ran.err.contains(part), "{part} in {}", ran.err);
            }
            assert_eq!(ran.err.contains("Proceed? [n/Y] "), !line.contains("-y"), "{line}");
            if line.contains("json") {
                assert_eq!(
                    serde_json::from_str::<Server>(&ran.out)
                        .expect("JSON")
                        .link
                        .map(|link| link.minion.to_string()),
                    Some("m1".to_owned())
                );
            }
        }
        let (exit, why) = fake.run("server pair web1 m1 -y --reason late", "").await.failure();
        assert_eq!((exit, why.as_str()), (Exit::Refused, "the key is no longer pending"));
        assert_eq!(fake.run("server pair web1 m1", "").await.failure().0, Exit::Failed);
    }

    #[tokio::test]
    async fn only_the_key_that_was_shown_gives_way() {
        let asked = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let bodies = asked.clone();
        let fake = Fake::new(move |line, body| match line.replace(ONE, "<1>").as_str() {
            "GET /v1/servers?named=web1" => json!([linked(server(1, "web1"), "m1", 1)]),
            "GET /v1/servers?named=free" => json!([server(1, "free")]),
            "GET /v1/keys?public_key=false&id=m1" => json!([key(KeyState::Denied, 2)]),
            "POST /v1/servers/<1>/pair" => {
                bodies.lock().expect("unpoisoned").push((body["replace"].clone(), body["gives_up"].clone()));
                json!(linked(server(1, "web1"), "m1", 2))
            }
            other => panic!("unexpected {other}"),
        });
        for name in ["web1", "free"] {
            let ran = fake.run(&format!("server pair {name} m1 --replace -y"), "").await;
            assert_eq!(ran.exit(), Exit::Ok, "{name}");
            let old = Fingerprint([1; 32]).to_string();
            assert_eq!(ran.err.contains(&old), name == "web1", "{}", ran.err);
        }
        let expected = [(json!(true), json!(Fingerprint([1; 32]))), (json!(false), serde_json::Value::Null)];
        assert_eq!(*asked.lock().expect("unpoisoned"), expected);
    }

    #[tokio::test]
    async fn several_keys_are_told_apart_by_the_operator() {
        let fake = fake(vec![key(KeyState::Pending, 1), key(KeyState::Pending, 2)]);
        let ran = fake.run("server pair web1 m1 -y", "").await;
        for number in [1, 2] {
            let line = format!("brine server pair {ONE} m1 --expect {}", Fingerprint([number; 32]));
            assert!(ran.err.contains(&line), "{}", ran.err);
        }
        assert_eq!((ran.failure().0, fake.asked("POST")), (Exit::Refused, 0));
        let line = format!("server pair web1 m1 -y --expect {}", Fingerprint([2; 32]));
        assert_eq!(fake.run(&line, "").await.exit(), Exit::Ok);
    }

    #[tokio::test]
    async fn a_record_has_to_be_one() {
        let fake = fake(Vec::new());
        let (exit, why) = fake.run("server pair nosuch m1", "").await.failure();
        assert!(exit == Exit::Usage && why.starts_with("no server record has"), "{why}");
        let (exit, why) = fake.run("server unpair twice", "").await.failure();
        assert!(exit == Exit::Usage && why.starts_with("2 server records are called"), "{why}");
        let (exit, why) = fake.run("server unpair web1 -y", "").await.failure();
        assert_eq!((exit, why), (Exit::Refused, format!("the server record web1 ({ONE}) has no minion")));
    }

    #[tokio::test]
    async fn a_minion_is_parted_from_after_a_question() {
        let fake = Fake::new(|line, body| match line.replace(ONE, "<1>").as_str() {
            "GET /v1/servers?named=web1" => json!([linked(server(1, "web1"), "m1", 7)]),
            "POST /v1/servers/<1>/unpair" => {
                let seen = Fingerprint([7; 32]);
                assert_eq!(body, json!({"key": "delete", "expect": seen}), "the key that was shown");
                json!(server(1, "web1"))
            }
            other => panic!("unexpected {other}"),
        });
        let ran = fake.run("server unpair web1 --key delete", "\n").await;
        assert_eq!((ran.exit(), fake.asked("POST")), (Exit::Ok, 0));
        assert!(ran.err.contains("will be forgotten") && ran.err.contains("[N/y]"), "{}", ran.err);
        let ran = fake.run("server unpair web1 --key delete", "yes\n").await;
        assert_eq!(ran.out, format!("The server record web1 ({ONE}) has no minion any more.\n"));
    }
}
