//! What each call sends, against a server that knows what to expect.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use brine_protocol::control::{KeyName, KeyState, PreseedWish, Problem, ProblemKind};
use brine_protocol::server::ServerRecord;
use brine_protocol::time::Timestamp;
use brine_protocol::{Fingerprint, ServerId, TokenId};
use serde_json::{Value, json};

use super::*;
use crate::Exit;

const ID: &str = "01010101-0101-4101-8101-010101010101";
const KEY: Fingerprint = Fingerprint([1; 32]);

fn id() -> ServerId {
    ServerId::from_random([1; 16])
}

fn record() -> Server {
    Server {
        id: id(),
        record: ServerRecord {
            name: "Éluard".to_owned(),
            model: "scribe".to_owned(),
            zone: None,
            site: None,
            labels: [("role".to_owned(), "files".to_owned())].into(),
            minion_id: None,
            external_id: None,
        },
        created: Timestamp(0),
        created_by: "root".to_owned(),
        link: None,
    }
}

fn token() -> Token {
    Token {
        id: TokenId::from_random([2; 16]),
        server: Some(id()),
        id_pattern: None,
        uses: 1,
        used: 0,
        until: Timestamp(0),
        created: Timestamp(0),
        created_by: "root".to_owned(),
    }
}

async fn answer(request: Request) -> Response {
    let line = format!("{} {}", request.method(), request.uri()).replace(ID, "<1>");
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.expect("a body");
    let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).expect("JSON") };
    let made = |made: bool| {
        let status = if made { StatusCode::CREATED } else { StatusCode::OK };
        let made = ServerMade { server: record(), made, bundle: None };
        (status, Json(json!(made))).into_response()
    };
    let said = match (line.as_str(), &body) {
        ("GET /v1/servers", Value::Null) => json!([record()]),
        ("GET /v1/servers?find=zone%3ADijon&find=name%3A%C3%89%2A&linked=false", Value::Null) => json!([]),
        ("GET /v1/servers?named=a%20%26%3D%23%25", Value::Null) => json!([record()]),
        ("GET /v1/servers/<1>", Value::Null) => json!(record()),
        ("POST /v1/servers", body) if body["external_id"] == json!("4711") => return made(false),
        ("POST /v1/servers", body) if body["bundle"]["keep"] == json!(true) => return made(true),
        ("PUT /v1/servers/<1>", body) if body["name"] == json!("Éluard") => return made(true),
        ("PATCH /v1/servers/<1>", body) if *body == json!({"zone": null}) => json!(record()),
        ("DELETE /v1/servers/<1>", Value::Null) => {
            let problem = Problem::new(ProblemKind::Conflict, "it has a minion");
            return (StatusCode::CONFLICT, Json(problem)).into_response();
        }
        (line, Value::Null)
            if line
                == format!(
                    "DELETE /v1/servers/<1>?key=reject&expect={}&reason=gone%20for%20good",
                    ["01"; 32].join("%3A")
                ) =>
        {
            json!(record())
        }
        ("GET /v1/servers/<1>/history", Value::Null) => json!([]),
        ("POST /v1/servers/<1>/pair", body)
            if body["key"]["state"] == json!("pending") && body["gives_up"] == json!(KEY) =>
        {
            json!(record())
        }
        ("POST /v1/servers/<1>/unpair", body) if *body == json!({"key": "keep", "expect": KEY}) => {
            json!(record())
        }
        ("POST /v1/servers/<1>/preseed", body)
            if body["replace"] == json!(true) && body["gives_up"] == json!(KEY) =>
        {
            return made(false);
        }
        ("POST /v1/servers/<1>/bundle", Value::Null) => json!({"bundle": "brine-bundle: 1\n"}),
        // Nothing for nothing, and nothing for what asks for a result.
        ("POST /v1/servers/import", body) if body["servers"].is_array() => json!([]),
        ("GET /v1/tokens", Value::Null) => json!([token()]),
        ("POST /v1/tokens", body) if *body == json!({"server": ID, "expires_s": 60}) => {
            json!(TokenMade { token: token(), secret: "brt_00".to_owned().into() })
        }
        ("DELETE /v1/tokens/02020202-0202-4202-8202-020202020202", Value::Null)
        | ("DELETE /v1/tokens/02020202-0202-4202-8202-020202020202?reason=lost", Value::Null) => {
            json!(token())
        }
        other => panic!("unexpected {other:?}"),
    };
    Json(said).into_response()
}

struct Fake {
    client: Client,
    _folder: tempfile::TempDir,
}

fn fake() -> Fake {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("control.sock");
    let listener = tokio::net::UnixListener::bind(&socket).expect("a socket");
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    Fake { client: Client::new(&socket), _folder: folder }
}

fn request() -> ServerRequest {
    let ServerRecord { name, model, zone, site, labels, minion_id, external_id } = record().record;
    let bundle = PreseedWish { keep: true, ..PreseedWish::default() };
    ServerRequest {
        name,
        model,
        zone,
        site,
        labels,
        minion_id,
        external_id,
        preseed: true,
        bundle,
        reason: None,
    }
}

#[tokio::test]
async fn records_are_found() {
    let fake = fake();
    let client = &fake.client;
    assert_eq!(client.servers(&ServersQuery::default()).await.expect("records"), [record()]);
    let find = vec!["zone:Dijon".to_owned(), "name:É*".to_owned()];
    let query = ServersQuery { find, linked: Some(false), named: None };
    assert_eq!(client.servers(&query).await.expect("records"), []);
    let query = ServersQuery { named: Some("a &=#%".to_owned()), ..ServersQuery::default() };
    assert_eq!(client.servers(&query).await.expect("records").len(), 1);
    assert_eq!(client.server(id()).await.expect("a record"), record());
    assert_eq!(client.server_history(id()).await.expect("a history"), []);
}

#[tokio::test]
async fn records_are_changed() {
    let fake = fake();
    let client = &fake.client;
    assert!(client.create_server(&request()).await.expect("a record").made);
    let again = ServerRequest { external_id: Some("4711".to_owned()), ..request() };
    assert!(!client.create_server(&again).await.expect("a record").made);
    assert!(client.put_server(id(), &request()).await.expect("a record").made);
    let change = ServerChange { zone: Some(None), ..ServerChange::default() };
    assert_eq!(client.update_server(id(), &change).await.expect("a record"), record());
    let error = client.delete_server(id(), &DeleteServer::default()).await.expect_err("refused");
    assert_eq!((error.to_string().as_str(), Exit::from(&error)), ("it has a minion", Exit::Refused));
    let how = DeleteServer {
        key: Some(KeyFate::Reject),
        expect: Some(KEY),
        reason: Some("gone for good".to_owned()),
    };
    assert_eq!(client.delete_server(id(), &how).await.expect("a record"), record());
}

#[tokio::test]
async fn minions_are_linked() {
    let fake = fake();
    let client = &fake.client;
    let key = KeyName {
        id: "web1".parse().expect("an id"),
        fingerprint: Fingerprint([1; 32]),
        state: Some(KeyState::Pending),
    };
    let pair = PairRequest { key, replace: true, gives_up: Some(KEY), reason: None };
    assert_eq!(client.pair(id(), &pair).await.expect("a record"), record());
    let unpair = UnpairRequest { key: KeyFate::Keep, expect: Some(KEY), reason: None };
    assert_eq!(client.unpair(id(), &unpair).await.expect("a record"), record());
    let preseed = PreseedRequest { replace: true, gives_up: Some(KEY), ..PreseedRequest::default() };
    assert!(!client.preseed(id(), &preseed).await.expect("a record").made);
    assert_eq!(client.bundle(id()).await.expect("a bundle").bundle.expose(), "brine-bundle: 1\n");
}

#[tokio::test]
async fn a_record_without_a_result_is_in_doubt() {
    let fake = fake();
    let mut import = ImportServers { servers: Vec::new(), keep_going: false, dry_run: false, reason: None };
    assert_eq!(fake.client.import_servers(&import).await.expect("none"), []);
    import.servers.push(request());
    let error = fake.client.import_servers(&import).await.expect_err("no result");
    assert!(error.leaves_doubt() && error.to_string().contains("0 results for 1 records"), "{error}");
}

#[tokio::test]
async fn tokens() {
    let fake = fake();
    let wanted =
        TokenRequest { server: Some(id()), id_pattern: None, uses: None, expires_s: Some(60), reason: None };
    assert_eq!(fake.client.create_token(&wanted).await.expect("a token").secret.expose(), "brt_00");
    assert_eq!(fake.client.tokens().await.expect("tokens"), [token()]);
    for reason in [None, Some("lost".to_owned())] {
        let how = RevokeToken { reason };
        assert_eq!(fake.client.revoke_token(token().id, &how).await.expect("a token"), token());
    }
}
