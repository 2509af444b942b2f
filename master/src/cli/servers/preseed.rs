//! Keys that are made for a record, and their way out of the master.

use std::path::Path;

use brine_client::{ClientError, Exit};
use brine_protocol::Secret;
use brine_protocol::control::{PreseedRequest, PreseedWish, ServerMade};

use super::change::{capital, cut_off};
use super::parcel::{Parcel, unless_interrupted};
use super::show::second;
use super::{Desk, called, in_doubt, resolve, show};
use crate::cli::failure::Failure;
use crate::cli::options::servers::Preseed;

pub(super) async fn run(desk: &mut Desk<'_>, what: &Preseed) -> Result<Exit, Failure> {
    let parcel = what.out_file.as_deref().map(Parcel::open).transpose()?;
    let server = resolve(desk.client, &what.server).await?;
    let link = server.link.as_ref().filter(|_| what.replace);
    // To take back a key that nobody has used cuts no minion off.
    if let Some(link) = link.filter(|link| link.preseed.is_none()) {
        let question =
            format!("{} is going to get another key.\n{}", capital(&called(&server)), cut_off(link));
        if !desk.agree(&question, what.yes, false)? {
            return Ok(Exit::Ok);
        }
    }
    let request = PreseedRequest {
        // Of what was not shown, nothing gives way.
        replace: link.is_some(),
        gives_up: link.map(|link| link.fingerprint),
        bundle: PreseedWish { keep: parcel.is_none(), master: what.master.clone(), expires_s: what.expires },
        reason: what.reason.clone(),
    };
    let look = format!("brine server show {}", server.id);
    let made = wait(desk, desk.client.preseed(server.id, &request), &look).await?;
    hand_over(desk, "The key is made, accepted and linked.", made, parcel)
}

/// Waits for the answer to a change, and says where to look when none tells what became of it.
pub(in crate::cli) async fn wait<T>(
    desk: &mut Desk<'_>,
    work: impl Future<Output = Result<T, ClientError>>,
    look: &str,
) -> Result<T, Failure> {
    match unless_interrupted(work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(in_doubt(desk, error, look)),
        Err(failure) => {
            desk.note(&format!("whether it was done is not known; look with: {look}"))?;
            Err(failure)
        }
    }
}

/// Shows the record, and puts its bundle where it is wanted.
pub(super) fn hand_over(
    desk: &mut Desk<'_>,
    heading: &str,
    mut made: ServerMade,
    parcel: Option<Parcel>,
) -> Result<Exit, Failure> {
    let bundle = made.bundle.take();
    let id = made.server.id;
    let waits = made.server.link.as_ref().and_then(|link| link.preseed).filter(|preseed| !preseed.is_fetched);
    let mut text = format!("{heading}\n{}", show::page(&made.server));
    match (parcel, bundle) {
        (None, _) => {
            if let Some(preseed) = waits {
                text.push_str(&format!(
                    "The bundle with its key stays on the master until {}; it is handed out once:\n  \
                     brine server bundle {id} -o FILE\n",
                    second(preseed.until)
                ));
            }
        }
        (Some(_), None) => {
            let how = match waits {
                Some(_) => format!("its bundle waits on the master: brine server bundle {id} -o FILE"),
                None => format!(
                    "what it has was made or handed out before: make another key with brine server preseed \
                     {id} --replace -o FILE"
                ),
            };
            return Err(Failure::Nothing(format!("no bundle came for {}; {how}", called(&made.server))));
        }
        (Some(parcel), Some(bundle)) => {
            let is_stdout = parcel.is_stdout();
            deliver(desk, parcel, &bundle, id)?;
            if is_stdout {
                desk.note(&format!("{heading} Its id is {id}."))?;
                return Ok(Exit::Ok);
            }
            text.push_str(
                "The bundle is in the file, and nowhere else: carry it to the machine, and remove it.\n",
            );
        }
    }
    desk.show(&text, &made)?;
    Ok(Exit::Ok)
}

/// Puts a bundle where it is wanted. It was handed out by now: losing it has to be said.
pub(super) fn deliver(
    desk: &mut Desk<'_>,
    parcel: Parcel,
    secret: &Secret,
    id: brine_protocol::server::ServerId,
) -> Result<(), Failure> {
    if parcel.is_stdout() {
        desk.warn_exposed("write it with -o FILE");
    }
    let delivered = parcel.fill(secret, desk.out);
    if delivered.is_err() {
        // The failure itself is what matters, should this line not reach anybody.
        let _ = desk.note(&format!(
            "the bundle is lost; make another key with: brine server preseed {id} --replace -o FILE"
        ));
    }
    delivered
}

pub(super) async fn bundle(desk: &mut Desk<'_>, text: &str, path: &Path) -> Result<Exit, Failure> {
    let parcel = Parcel::open(path)?;
    let server = resolve(desk.client, text).await?;
    let look = format!("brine server show {}", server.id);
    let bundle = wait(desk, desk.client.bundle(server.id), &look).await?;
    deliver(desk, parcel, &bundle.bundle, server.id)?;
    desk.note(&format!("The bundle of {} is handed out; the master no longer has it.", called(&server)))?;
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use brine_protocol::control::{Preseed as Waiting, Problem, ProblemKind, Server};
    use brine_protocol::time::Timestamp;
    use serde_json::{Value, json};

    use super::super::tests::{Fake, linked, refusal, server};
    use super::*;

    fn preseeded(is_fetched: bool) -> Server {
        let mut server = linked(server(1, "web1"), "web1", 7);
        let link = server.link.as_mut().expect("a link");
        link.connected = false;
        link.preseed = Some(Waiting { until: Timestamp(0), is_fetched });
        server
    }

    /// Hands a bundle out once, and keeps it when asked to.
    fn fake() -> Fake {
        Fake::new(|line, body| {
            let keep = body["bundle"]["keep"] == json!(true);
            let bundle = (!keep).then(|| Secret::from("brine-bundle: 1\nsecret\n".to_owned()));
            match line {
                "GET /v1/servers?named=web1" => json!([server(1, "web1")]),
                "POST /v1/servers" | "POST /v1/servers/01010101-0101-4101-8101-010101010101/preseed" => {
                    let made = body["name"] != json!("again");
                    let bundle = bundle.filter(|_| made);
                    json!(ServerMade { server: preseeded(!keep), made, bundle })
                }
                "POST /v1/servers/01010101-0101-4101-8101-010101010101/bundle" => {
                    json!({"bundle": "brine-bundle: 1\nsecret\n"})
                }
                "GET /v1/servers?named=gone" => json!([server(9, "gone")]),
                "POST /v1/servers/09090909-0909-4909-8909-090909090909/bundle" => {
                    refusal(&Problem::new(ProblemKind::Conflict, "fetched already by root"))
                }
                other => panic!("unexpected {other}"),
            }
        })
    }

    #[tokio::test]
    async fn without_a_file_the_bundle_stays_on_the_master() {
        let fake = fake();
        for line in ["server create --name web1 --model m --preseed", "server preseed web1"] {
            let ran = fake.run(line, "").await;
            assert_eq!(ran.exit(), Exit::Ok, "{line}");
            assert!(
                ran.out.ends_with("  brine server bundle 01010101-0101-4101-8101-010101010101 -o FILE\n"),
                "{}",
                ran.out
            );
            assert!(!ran.out.contains("secret"));
        }
    }

    #[tokio::test]
    async fn a_minion_is_cut_off_after_a_question() {
        let wanted = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let bodies = wanted.clone();
        let fake = Fake::new(move |line, body| match line {
            "GET /v1/servers?named=live" => json!([linked(server(1, "live"), "m1", 7)]),
            "GET /v1/servers?named=unused" => json!([preseeded(false)]),
            "GET /v1/servers?named=free" => json!([server(1, "free")]),
            "POST /v1/servers/01010101-0101-4101-8101-010101010101/preseed" => {
                bodies.lock().expect("unpoisoned").push((body["replace"].clone(), body["gives_up"].clone()));
                json!(ServerMade { server: preseeded(false), made: false, bundle: None })
            }
            other => panic!("unexpected {other}"),
        });
        let seen = json!(brine_protocol::Fingerprint([7; 32]));
        for (line, input, asked) in [
            ("server preseed live --replace", "\n", None),
            ("server preseed live --replace", "y\n", Some((json!(true), seen.clone()))),
            ("server preseed live --replace -y", "", Some((json!(true), seen.clone()))),
            ("server preseed unused --replace", "", Some((json!(true), seen.clone()))),
            ("server preseed free --replace", "", Some((json!(false), Value::Null))),
        ] {
            wanted.lock().expect("unpoisoned").clear();
            let ran = fake.run(line, input).await;
            assert_eq!((ran.exit(), wanted.lock().expect("unpoisoned").pop()), (Exit::Ok, asked), "{line}");
            let said = "The key 07:07";
            assert_eq!(ran.err.contains(said), line.contains("live"), "{line}: {}", ran.err);
        }
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("bundle");
        let ran = fake.run(&format!("server preseed live --replace -o {}", path.display()), "n\n").await;
        assert_eq!((ran.exit(), path.exists()), (Exit::Ok, false));
    }

    #[tokio::test]
    async fn with_a_file_it_goes_there_and_nowhere_else() {
        let fake = fake();
        let folder = tempfile::tempdir().expect("a folder");
        for (n, line) in
            ["server create --name web1 --model m --preseed", "server preseed web1", "server bundle web1"]
                .into_iter()
                .enumerate()
        {
            let path = folder.path().join(n.to_string());
            let line = format!("{line} --out json -o {}", path.display());
            let ran = fake.run(&line, "").await;
            assert_eq!(ran.exit(), Exit::Ok, "{line}");
            assert_eq!(std::fs::read_to_string(&path).expect("a file"), "brine-bundle: 1\nsecret\n");
            assert!(!ran.out.contains("secret") && !ran.err.contains("secret"), "{line}");
            if !line.contains("server bundle") {
                let document: Value = serde_json::from_str(&ran.out).expect("JSON");
                assert_eq!(document["name"], "web1");
            }
            // The file is there now: nothing is asked for that would have no place.
            fake.forget();
            assert_eq!(fake.run(&line, "").await.failure().0, Exit::Failed, "{line}");
            assert_eq!(fake.asked(""), 0, "{line}");
        }
        let ran = fake.run("server bundle web1 -o -", "").await;
        assert_eq!((ran.exit(), ran.out.as_str()), (Exit::Ok, "brine-bundle: 1\nsecret\n"));
    }

    #[tokio::test]
    async fn a_file_into_which_nothing_came_goes_away() {
        let fake = fake();
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("bundle");
        let (exit, why) = fake.run(&format!("server bundle gone -o {}", path.display()), "").await.failure();
        assert_eq!((exit, why.as_str()), (Exit::Refused, "fetched already by root"));
        assert!(!path.exists());
        let line = format!("server create --name again --model m --preseed -o {}", path.display());
        let (exit, why) = fake.run(&line, "").await.failure();
        assert_eq!(exit, Exit::Failed);
        assert!(why.contains("no bundle came") && why.contains("--replace"), "{why}");
        assert!(!path.exists());
    }
}
