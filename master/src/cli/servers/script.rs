//! Prints the script that connects the machine of a record: `brine-connect` with its settings in
//! it.

use brine_client::Exit;
use brine_protocol::control::{Health, PreseedRequest, PreseedWish, Server, TokenRequest};
use brine_protocol::{MinionId, Secret};

use super::parcel::Parcel;
use super::preseed::{deliver, wait};
use super::{Desk, called, resolve};
use crate::bundles::check_address;
use crate::cli::failure::Failure;
use crate::cli::options::servers::Script;

/// What is carried to machines.
const SCRIPT: &str = include_str!("../../../../keytool/brine-connect.sh");

/// The line of it that settings take the place of.
const MARK: &str = "# @brine-settings@";

/// Shell variables and their values.
type Settings<'a> = Vec<(&'static str, &'a str)>;

pub(super) async fn run(desk: &mut Desk<'_>, what: &Script) -> Result<Exit, Failure> {
    if let Some(master) = &what.master {
        check_address(master).map_err(Failure::Usage)?;
    }
    let parcel = Parcel::open(&what.out_file)?;
    let server = resolve(desk.client, &what.server).await?;
    if what.bundle {
        let bundle = bundle(desk, what, &server).await?;
        let script = Secret::from(with_bundle(&bundle));
        deliver(desk, parcel, &script, server.id)?;
        return Ok(Exit::Ok);
    }
    let health = desk.client.health().await?;
    // The master knows: its options may come from its own environment, or from files that this user
    // may not read.
    let master = what.master.clone().or_else(|| health.master_address.clone()).ok_or_else(|| {
        Failure::Usage("say by which name the machine reaches this master: --master HOST".to_owned())
    })?;
    let request = TokenRequest {
        server: Some(server.id),
        id_pattern: None,
        uses: None,
        expires_s: what.expires,
        reason: what.reason.clone(),
    };
    let made = wait(desk, desk.client.create_token(&request), "brine token list").await?;
    let script = Secret::from(with_token(&server, &master, &health, &made.secret));
    if parcel.is_stdout() {
        desk.warn_exposed("write it with -o FILE");
    }
    if let Err(failure) = parcel.fill(&script, desk.out) {
        // The failure itself is what matters, should this line not reach anybody.
        let _ = desk.note(&format!("its token is of no use: brine token revoke {}", made.token.id));
        return Err(failure);
    }
    Ok(Exit::Ok)
}

/// The bundle that waits for the record, or one with a new key.
async fn bundle(desk: &mut Desk<'_>, what: &Script, server: &Server) -> Result<Secret, Failure> {
    let look = format!("brine server show {}", server.id);
    let waits = server.link.as_ref().and_then(|link| link.preseed).is_some_and(|preseed| !preseed.is_fetched);
    if waits {
        if what.master.is_some() || what.expires.is_some() {
            return Err(Failure::Refused(format!(
                "a bundle of {} waits already, made with another --master and --expires; make another with: \
                 brine server preseed {} --replace",
                called(server),
                server.id
            )));
        }
        let bundle = wait(desk, desk.client.bundle(server.id), &look).await?;
        return Ok(bundle.bundle);
    }
    let request = PreseedRequest {
        replace: false,
        gives_up: None,
        bundle: PreseedWish { keep: false, master: what.master.clone(), expires_s: what.expires },
        reason: what.reason.clone(),
    };
    let made = wait(desk, desk.client.preseed(server.id, &request), &look).await?;
    made.bundle.ok_or_else(|| {
        Failure::Nothing(format!(
            "no bundle came for {}; make another key with: brine server preseed {} --replace",
            called(server),
            server.id
        ))
    })
}

/// What the environment of the machine may hold must not get into the way: both are said, always.
fn with_bundle(bundle: &Secret) -> String {
    compose(&vec![("BRINE_CONNECT_BUNDLE", bundle.expose().trim_end()), ("BRINE_CONNECT_TOKEN", "")])
}

fn with_token(server: &Server, master: &str, health: &Health, token: &Secret) -> String {
    let (publish, ret) = (health.publish_port.to_string(), health.ret_port.to_string());
    let (finger, id) = (health.fingerprint.to_string(), server.id.to_string());
    let mut settings: Settings<'_> = vec![
        ("BRINE_CONNECT_MASTER", master),
        ("BRINE_CONNECT_PUBLISH_PORT", &publish),
        ("BRINE_CONNECT_RET_PORT", &ret),
        ("BRINE_CONNECT_FINGER", &finger),
        ("BRINE_CONNECT_SERVER", &id),
        ("BRINE_CONNECT_TOKEN", token.expose()),
        ("BRINE_CONNECT_BUNDLE", ""),
    ];
    let minion = minion_id(server);
    settings.extend(minion.as_ref().map(|minion| ("BRINE_CONNECT_ID", minion.as_str())));
    compose(&settings)
}

/// The id that its minion will have, when the record tells: as with a key that is made for it.
fn minion_id(server: &Server) -> Option<MinionId> {
    server.record.minion_id.clone().or_else(|| server.record.name.parse().ok())
}

fn compose(settings: &Settings<'_>) -> String {
    let settings: String =
        settings.iter().map(|(name, value)| format!("{name}={}\n", quoted(value))).collect();
    SCRIPT.replacen(&format!("\n{MARK}\n"), &format!("\n{settings}"), 1)
}

/// One word of the shell, whatever is in it.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use brine_protocol::TokenId;
    use brine_protocol::control::{Preseed, ServerMade, Token, TokenMade};
    use brine_protocol::time::Timestamp;
    use serde_json::json;

    use super::super::tests::{Fake, linked, server};
    use crate::cli::tokens::tests::health;

    use super::*;

    const ONE: &str = "01010101-0101-4101-8101-010101010101";

    fn fake() -> Fake {
        Fake::new(|line, body| match line.replace(ONE, "<1>").as_str() {
            "GET /v1/health" => json!(health()),
            "GET /v1/servers?named=web1" => json!([server(1, "web1")]),
            "GET /v1/servers?named=waiting" => {
                let mut server = linked(server(1, "waiting"), "web1", 7);
                let preseed = Preseed { until: Timestamp(0), is_fetched: false };
                server.link.as_mut().expect("a link").preseed = Some(preseed);
                json!([server])
            }
            "POST /v1/tokens" => {
                assert_eq!(body["server"], json!(ONE));
                let token = Token {
                    id: TokenId::from_random([8; 16]),
                    server: Some(server(1, "").id),
                    id_pattern: None,
                    uses: 1,
                    used: 0,
                    until: Timestamp(0),
                    created: Timestamp(0),
                    created_by: "root".to_owned(),
                };
                json!(TokenMade { token, secret: "brt_00".to_owned().into() })
            }
            "POST /v1/servers/<1>/preseed" => {
                let bundle = Some("brine-bundle: 1\nnew\n".to_owned().into());
                json!(ServerMade { server: server(1, "web1"), made: false, bundle })
            }
            "POST /v1/servers/<1>/bundle" => json!({"bundle": "brine-bundle: 1\nold\n"}),
            other => panic!("unexpected {other}"),
        })
    }

    #[test]
    fn a_shell_reads_what_was_said() {
        for value in ["plain", "", "it's", "'", "$(id) `id` \\ \" $HOME *", "two\nlines"] {
            let line = format!("X={}; printf %s \"$X\"", quoted(value));
            let said = Command::new("sh").arg("-c").arg(&line).output().expect("a shell");
            assert_eq!(String::from_utf8_lossy(&said.stdout), value, "{line}");
        }
    }

    #[test]
    fn there_is_one_place_for_settings() {
        assert_eq!(SCRIPT.lines().filter(|line| *line == MARK).count(), 1);
    }

    #[tokio::test]
    async fn a_script_has_a_new_token() {
        let fake = fake();
        let ran = fake.run("server connect-script web1 --master brine.example.org", "").await;
        assert_eq!((ran.exit(), ran.err.as_str()), (Exit::Ok, ""));
        assert!(ran.out.starts_with("#!/bin/sh\n") && !ran.out.contains(MARK));
        let finger = brine_protocol::Fingerprint([3; 32]);
        for line in [
            "BRINE_CONNECT_MASTER='brine.example.org'",
            "BRINE_CONNECT_PUBLISH_PORT='14505'",
            "BRINE_CONNECT_RET_PORT='14506'",
            &format!("BRINE_CONNECT_FINGER='{finger}'"),
            "BRINE_CONNECT_ID='web1'",
            "BRINE_CONNECT_TOKEN='brt_00'",
            &format!("BRINE_CONNECT_SERVER='{ONE}'"),
        ] {
            assert!(ran.out.lines().any(|found| found == line), "{line}");
        }
        let checked = Command::new("sh").arg("-n").arg("-c").arg(&ran.out).status().expect("a shell");
        assert!(checked.success());
        let (exit, why) = fake.run("server connect-script web1 --master a;b", "").await.failure();
        assert!(exit == Exit::Usage && why.contains("no host name or address"), "{why}");
    }

    #[tokio::test]
    async fn a_script_has_a_bundle() {
        let fake = fake();
        let folder = tempfile::tempdir().expect("a folder");
        for (name, key) in [("web1", "new"), ("waiting", "old")] {
            let path = folder.path().join(name);
            let line = format!("server connect-script {name} --bundle -o {}", path.display());
            let ran = fake.run(&line, "").await;
            assert_eq!((ran.exit(), ran.out.as_str()), (Exit::Ok, ""));
            let script = std::fs::read_to_string(&path).expect("a script");
            let expected =
                format!("\nBRINE_CONNECT_BUNDLE='brine-bundle: 1\n{key}'\nBRINE_CONNECT_TOKEN=''\n");
            assert!(script.contains(&expected), "{name}");
        }
        let (exit, why) = fake.run("server connect-script waiting --bundle --expires 1d", "").await.failure();
        assert!(exit == Exit::Refused && why.contains("waits already"), "{why}");
    }
}
