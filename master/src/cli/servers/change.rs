//! Makes, changes and deletes records.

use std::collections::BTreeMap;

use brine_client::Exit;
use brine_protocol::control::{DeleteServer, KeyFate, Link, PreseedWish, ServerChange, ServerRequest};
use brine_protocol::server::ServerRecord;

use super::parcel::Parcel;
use super::{Desk, called, in_doubt, preseed, resolve, show};
use crate::cli::failure::Failure;
use crate::cli::options::servers::{Create, Parting, Update};

pub(super) async fn create(desk: &mut Desk<'_>, what: &Create) -> Result<Exit, Failure> {
    let request = request(what);
    check(&request.record())?;
    let parcel = what.out_file.as_deref().map(Parcel::open).transpose()?;
    let made = preseed::wait(desk, desk.client.create_server(&request), "brine server list").await?;
    let heading =
        if made.made { "The server record is made." } else { "The server record was there already." };
    preseed::hand_over(desk, heading, made, parcel)
}

fn request(what: &Create) -> ServerRequest {
    ServerRequest {
        name: what.name.clone(),
        model: what.model.clone(),
        zone: what.zone.clone(),
        site: what.site.clone(),
        labels: what.label.iter().cloned().collect(),
        minion_id: what.minion_id.clone(),
        external_id: what.external_id.clone(),
        preseed: what.preseed,
        bundle: PreseedWish {
            keep: what.preseed && what.out_file.is_none(),
            master: what.master.clone(),
            expires_s: what.expires,
        },
        reason: what.reason.clone(),
    }
}

/// The master checks as well; here it costs nothing and no file has been made yet.
fn check(record: &ServerRecord) -> Result<(), Failure> {
    record.check().map_err(|error| Failure::Usage(error.to_string()))
}

pub(super) async fn update(desk: &mut Desk<'_>, what: &Update) -> Result<Exit, Failure> {
    let change = change(what)?;
    let server = resolve(desk.client, &what.server).await?;
    check(&change.apply(server.record.clone()))?;
    let changed = desk.client.update_server(server.id, &change).await;
    let changed =
        changed.map_err(|error| in_doubt(desk, error, &format!("brine server show {}", server.id)))?;
    desk.show(&show::page(&changed), &changed)?;
    Ok(Exit::Ok)
}

fn change(what: &Update) -> Result<ServerChange, Failure> {
    let mut labels: BTreeMap<String, Option<String>> =
        what.label.iter().cloned().map(|(name, value)| (name, Some(value))).collect();
    for name in &what.no_label {
        if labels.insert(name.clone(), None).is_some_and(|value| value.is_some()) {
            return Err(Failure::Usage(format!("the label {name:?} is to be set and to be taken away")));
        }
    }
    Ok(ServerChange {
        name: what.name.clone(),
        model: what.model.clone(),
        zone: other(what.no_zone, &what.zone),
        site: other(what.no_site, &what.site),
        labels,
        minion_id: other(what.no_minion_id, &what.minion_id),
        external_id: other(what.no_external_id, &what.external_id),
        reason: what.reason.clone(),
    })
}

/// Nothing, something else, or nothing about it.
fn other<T: Clone>(is_none: bool, value: &Option<T>) -> Option<Option<T>> {
    if is_none { Some(None) } else { value.clone().map(Some) }
}

pub(super) async fn delete(desk: &mut Desk<'_>, text: &str, parting: &Parting) -> Result<Exit, Failure> {
    let server = resolve(desk.client, text).await?;
    // A record that was seen without a minion and has one by now is refused by the master.
    let mut how = DeleteServer { reason: parting.reason.clone(), ..DeleteServer::default() };
    if let Some(link) = &server.link {
        let fate = parting.key.unwrap_or(KeyFate::Reject);
        (how.key, how.expect) = (Some(fate), Some(link.fingerprint));
        let question = format!(
            "{} is going to be deleted, though it has a minion.\n{}",
            capital(&called(&server)),
            fate_sentence(fate, link)
        );
        if !desk.agree(&question, parting.yes, false)? {
            return Ok(Exit::Ok);
        }
    }
    let deleted = desk.client.delete_server(server.id, &how).await;
    let deleted =
        deleted.map_err(|error| in_doubt(desk, error, &format!("brine server history {}", server.id)))?;
    desk.show(&format!("{} is deleted.\n", capital(&called(&deleted))), &deleted)?;
    Ok(Exit::Ok)
}

/// What becomes of a minion's key, before it does.
pub(super) fn fate_sentence(fate: KeyFate, link: &Link) -> String {
    let becomes = match fate {
        KeyFate::Keep => "stays accepted, as the key of no server record",
        KeyFate::Reject => "will be rejected: the minion is cut off and stays out",
        KeyFate::Delete => "will be forgotten: the minion is cut off, and may knock again",
    };
    format!(
        "The key {} of its minion {} {becomes} (--key keep, reject or delete).",
        link.fingerprint, link.minion
    )
}

/// The same where nothing can be chosen.
pub(super) fn cut_off(link: &Link) -> String {
    format!(
        "The key {} of its minion {} will be rejected: the minion is cut off and stays out.",
        link.fingerprint, link.minion
    )
}

/// A sentence that begins with a name begins with a capital all the same.
pub(super) fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use brine_protocol::control::ServerMade;
    use clap::Parser;
    use serde_json::json;

    use super::super::tests::{Fake, linked, server};
    use crate::cli::options::NounLine;

    use super::*;

    fn changed(line: &str) -> Result<ServerChange, Failure> {
        let words = ["brine", "server", "update", "web1"].into_iter().chain(line.split(' '));
        let line = NounLine::try_parse_from(words).expect("a good line");
        let crate::cli::options::Noun::Server { verb: Some(verb) } = line.noun else {
            panic!("another noun")
        };
        let crate::cli::options::servers::ServerVerb::Update(what) = verb else { panic!("another verb") };
        change(&what)
    }

    #[test]
    fn only_what_is_named_changes() {
        for (line, expected) in [
            ("--name x", json!({"name": "x"})),
            ("--no-zone --site attic", json!({"zone": null, "site": "attic"})),
            ("--label a=1 --no-label b", json!({"labels": {"a": "1", "b": null}})),
            ("--minion-id web1 --no-external-id", json!({"minion_id": "web1", "external_id": null})),
        ] {
            let change = changed(line).expect("a change");
            assert_eq!(serde_json::to_value(&change).expect("JSON"), expected, "{line}");
        }
        let error = changed("--label a=1 --no-label a").expect_err("both");
        assert!(error.to_string().contains("to be set and to be taken away"), "{error}");
    }

    #[tokio::test]
    async fn a_record_is_made_once() {
        let fake = Fake::new(|line, body| match line {
            "POST /v1/servers" => {
                assert_eq!(body, json!({"name": "web1", "model": "scribe", "labels": {"role": "files"}}));
                json!(ServerMade { server: server(1, "web1"), made: false, bundle: None })
            }
            other => panic!("unexpected {other}"),
        });
        let ran = fake.run("server create --name web1 --model scribe --label role=files", "").await;
        assert_eq!(ran.exit(), Exit::Ok);
        assert!(
            ran.out.starts_with("The server record was there already.\nid:      01010101-"),
            "{}",
            ran.out
        );
        let ran = fake.run("server create --name web1 --model \t", "").await;
        assert_eq!(ran.failure(), (Exit::Usage, "the model is empty".to_owned()));
    }

    #[tokio::test]
    async fn a_linked_record_is_deleted_after_a_question() {
        let seen = brine_protocol::Fingerprint([7; 32]).to_string().replace(':', "%3A");
        let path = "DELETE /v1/servers/01010101-0101-4101-8101-010101010101";
        let reject = format!("{path}?key=reject&expect={seen}");
        let keep = format!("{path}?key=keep&expect={seen}&reason=gone");
        let fake = Fake::new(move |line, _| match line {
            "GET /v1/servers?named=web1" => json!([linked(server(1, "web1"), "m1", 7)]),
            "GET /v1/servers?named=free" => json!([server(2, "free")]),
            // The key that was shown, and no other that took its place while the question stood.
            line if line == reject || line == keep => json!(linked(server(1, "web1"), "m1", 7)),
            "DELETE /v1/servers/02020202-0202-4202-8202-020202020202" => json!(server(2, "free")),
            other => panic!("unexpected {other}"),
        });
        for (line, input, deletes) in [
            ("server delete web1", "\n", 0),
            ("server delete web1", "y\n", 1),
            ("server delete web1 -y --key keep --reason gone", "", 1),
            ("server delete free", "", 1),
        ] {
            fake.forget();
            let ran = fake.run(line, input).await;
            assert_eq!(ran.exit(), Exit::Ok, "{line}");
            assert_eq!(fake.asked("DELETE"), deletes, "{line}");
            if line.contains("web1") {
                assert!(ran.err.contains("of its minion m1"), "{line}: {}", ran.err);
            }
        }
        fake.forget();
        let (exit, why) = fake.run("server delete web1", "").await.failure();
        assert_eq!((exit, fake.asked("DELETE")), (Exit::Failed, 0));
        assert!(why.contains("nothing was changed"), "{why}");
    }
}
