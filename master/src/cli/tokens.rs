//! `brine token`: what a machine shows to be let in without an operator.

use brine_client::Exit;
use brine_local::output::Format;
use brine_local::output::table::table;
use brine_protocol::Secret;
use brine_protocol::control::{Health, RevokeToken, Token, TokenRequest};
use brine_protocol::server::TokenId;

use super::failure::Failure;
use super::options::tokens::{self as options, TokenVerb};
use super::servers::{Desk, called, resolve, second, wait};

/// Where to look when no answer came.
const LOOK: &str = "brine token list";

pub(super) async fn run(mut desk: Desk<'_>, verb: Option<TokenVerb>) -> Result<Exit, Failure> {
    let desk = &mut desk;
    match verb.unwrap_or(TokenVerb::List) {
        TokenVerb::Create(what) => create(desk, &what).await,
        TokenVerb::List => {
            let tokens = desk.client.tokens().await?;
            desk.show(&list(&tokens), &tokens)?;
            Ok(Exit::Ok)
        }
        TokenVerb::Revoke { token, reason } => {
            // What is refused is not repeated: it may be the secret.
            let id: TokenId = token.parse().map_err(|_| {
                Failure::Usage("name a token by its id, which brine token list shows".to_owned())
            })?;
            let revoked = wait(desk, desk.client.revoke_token(id, &RevokeToken { reason }), LOOK).await?;
            desk.show(&format!("The enrolment token {} is worthless now.\n", revoked.id), &revoked)?;
            Ok(Exit::Ok)
        }
    }
}

async fn create(desk: &mut Desk<'_>, what: &options::Token) -> Result<Exit, Failure> {
    let server = match &what.server {
        Some(text) => Some(resolve(desk.client, text).await?),
        None => None,
    };
    let request = TokenRequest {
        server: server.as_ref().map(|server| server.id),
        id_pattern: what.id_pattern.clone(),
        uses: what.uses,
        expires_s: what.expires,
        reason: what.reason.clone(),
    };
    // Asked first: once the token is there, nothing may keep it from being shown.
    let health = desk.client.health().await?;
    let made = wait(desk, desk.client.create_token(&request), LOOK).await?;
    desk.warn_exposed("say umask 077 before");
    let id = made.token.id;
    let shown = match desk.style.format {
        Format::Txt | Format::ValuesOnly | Format::Quiet => {
            desk.print(&format!("{}\n", made.secret.expose()))
        }
        Format::Nested | Format::Table | Format::NoReturn => {
            let whom = server.map_or_else(|| whom(&made.token), |server| called(&server));
            desk.print(&page(&made.token, &whom, &made.secret, &health))
        }
        Format::Json | Format::Yaml | Format::Raw | Format::Pprint => desk.show("", &made),
    };
    if let Err(failure) = shown {
        // The failure itself is what matters, should this line not reach anybody.
        let _ = desk.note(&format!("the token is of no use: brine token revoke {id}"));
        return Err(failure.into());
    }
    Ok(Exit::Ok)
}

/// For whom a token is.
fn whom(token: &Token) -> String {
    match (&token.server, &token.id_pattern) {
        (Some(server), _) => format!("server {server}"),
        (None, Some(pattern)) => format!("minions {pattern}"),
        (None, None) => "nobody".to_owned(),
    }
}

fn page(token: &Token, whom: &str, secret: &Secret, health: &Health) -> String {
    let uses = if token.uses == 1 { "one minion".to_owned() } else { format!("{} minions", token.uses) };
    format!(
        "The enrolment token {} lets {uses} in until {}, for {}.\n\
         Put this into the machine's minion.yaml, beside the master's address; it is shown this once:\n  \
         master_finger: {}\n  enrolment_token: {}\n",
        token.id,
        second(token.until),
        brine_local::output::escape(whom),
        health.fingerprint,
        secret.expose()
    )
}

fn list(tokens: &[Token]) -> String {
    let row = |token: &Token| {
        vec![
            token.id.to_string(),
            whom(token),
            format!("{} of {}", token.used, token.uses),
            second(token.until),
            second(token.created),
            token.created_by.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = tokens.iter().map(row).collect();
    table(&["ID", "FOR", "USED", "UNTIL", "CREATED", "BY"], &rows)
}

#[cfg(test)]
pub(super) mod tests {
    use brine_protocol::Fingerprint;
    use brine_protocol::control::TokenMade;
    use brine_protocol::time::Timestamp;
    use serde_json::{Map, Value, json};

    use super::super::servers::tests::{Fake, server};
    use super::*;

    fn token(pattern: Option<&str>) -> Token {
        Token {
            id: TokenId::from_random([8; 16]),
            server: pattern.is_none().then(|| server(1, "").id),
            id_pattern: pattern.map(str::to_owned),
            uses: 20,
            used: 1,
            until: Timestamp(0),
            created: Timestamp(0),
            created_by: "root".to_owned(),
        }
    }

    pub(in super::super) fn health() -> Health {
        Health {
            status: "ok".to_owned(),
            problems: Vec::new(),
            notices: Vec::new(),
            version: String::new(),
            fingerprint: Fingerprint([3; 32]),
            publish_port: 14_505,
            ret_port: 14_506,
            master_address: None,
            since: Timestamp(0),
            sessions: 0,
            keys: Map::new(),
            counters: Map::new(),
        }
    }

    fn fake() -> Fake {
        Fake::new(|line, body| match line {
            "GET /v1/health" => json!(health()),
            "GET /v1/servers?named=web1" => json!([server(1, "web1")]),
            "GET /v1/servers" => json!([]),
            "GET /v1/tokens" => json!([token(None), token(Some("web-*\u{1b}"))]),
            "POST /v1/tokens" => {
                let token = token(body["id_pattern"].as_str());
                assert_eq!(body.get("server").is_some(), token.server.is_some());
                json!(TokenMade { token, secret: "brt_00".to_owned().into() })
            }
            "DELETE /v1/tokens/08080808-0808-4808-8808-080808080808"
            | "DELETE /v1/tokens/08080808-0808-4808-8808-080808080808?reason=lost" => json!(token(None)),
            other => panic!("unexpected {other}"),
        })
    }

    #[tokio::test]
    async fn a_token_is_printed_once() {
        let fake = fake();
        let ran = fake.run("token create --server web1", "").await;
        assert_eq!(ran.exit(), Exit::Ok);
        assert!(
            ran.out.contains("20 minions in until 1970-01-01T00:00:00Z, for the server record web1 ("),
            "{}",
            ran.out
        );
        assert!(
            ran.out.ends_with("  enrolment_token: brt_00\n") && ran.out.contains("  master_finger: 03:03")
        );
        for form in ["txt", "quiet"] {
            let ran = fake.run(&format!("token create --id-pattern web-* --uses 20 --out {form}"), "").await;
            assert_eq!((ran.exit(), ran.out.as_str(), ran.err.as_str()), (Exit::Ok, "brt_00\n", ""));
        }
        let ran = fake.run("token create --id-pattern web-* --out json", "").await;
        let made: Value = serde_json::from_str(&ran.out).expect("JSON");
        assert_eq!((&made["secret"], &made["id_pattern"]), (&json!("brt_00"), &json!("web-*")));
    }

    #[tokio::test]
    async fn a_token_that_reaches_nobody_or_too_many_is_said_to() {
        let fake = fake();
        let mut full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("a full device");
        for form in ["nested", "txt", "json"] {
            let line = format!("token create --server web1 --out {form}");
            let ran = fake.run_to(&line, "", &mut full, false).await;
            let hint = "the token is of no use: brine token revoke 08080808-0808-4808-8808-080808080808\n";
            assert_eq!(ran.err, hint, "{form}");
            assert!(ran.failure().1.starts_with("cannot write the output"), "{form}");
        }
        for (line, exposed) in [
            ("token create --server web1 --out txt", true),
            ("token create --server web1 --out txt", false),
            ("server connect-script web1 --master brine.example.org", true),
            ("server connect-script web1 --master brine.example.org", false),
            ("server list", true),
        ] {
            let ran = fake.run_to(line, "", &mut Vec::new(), exposed).await;
            let is_warned = exposed && line != "server list";
            assert_eq!(ran.err.starts_with("warning: the standard output is a file"), is_warned, "{line}");
            assert_eq!((ran.err.is_empty(), ran.exit()), (!is_warned, Exit::Ok), "{line}");
        }
    }

    #[tokio::test]
    async fn tokens_are_listed_and_revoked_by_their_ids() {
        let fake = fake();
        assert_eq!(
            fake.run("token list", "").await.out,
            "ID                                    FOR                                          USED     UNTIL                 CREATED               BY\n\
             08080808-0808-4808-8808-080808080808  server 01010101-0101-4101-8101-010101010101  1 of 20  1970-01-01T00:00:00Z  1970-01-01T00:00:00Z  root\n\
             08080808-0808-4808-8808-080808080808  minions web-*\\u{1b}                          1 of 20  1970-01-01T00:00:00Z  1970-01-01T00:00:00Z  root\n"
        );
        let ran = fake.run("token revoke 08080808-0808-4808-8808-080808080808", "").await;
        assert_eq!(ran.out, "The enrolment token 08080808-0808-4808-8808-080808080808 is worthless now.\n");
        let line = "token revoke 08080808-0808-4808-8808-080808080808 --reason lost";
        assert_eq!((fake.run(line, "").await.exit(), fake.asked("DELETE")), (Exit::Ok, 2));
        let (exit, why) = fake.run("token revoke brt_secret", "").await.failure();
        assert_eq!(exit, Exit::Usage);
        assert!(!why.contains("brt_"), "{why}");
    }
}
