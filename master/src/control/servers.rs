//! The endpoints about server records and enrolment tokens.

use std::io;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path as Segment, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use brine_protocol::control::{
    Bundle, DeleteServer, Problem, ProblemKind, RevokeToken, Server, ServerMade, TokenMade,
};
use brine_protocol::server::ServerId;
use futures_util::stream::{self, Stream, StreamExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::reply::{Reply, json_reply};
use super::{Api, Caller, bad_query, parse_body, unexpected};
use crate::engine::{Answer, Ask, Find, ServerAnswer, ServerAsk};
use crate::roles::Principal;

/// Terms in one query: each is matched with every record.
const TERMS_MAX: usize = 16;

type Pairs = Result<Query<Vec<(String, String)>>, QueryRejection>;

fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::BadRequest, detail)
}

fn parse_uuid<T: std::str::FromStr>(text: &str) -> Result<T, Problem> {
    text.parse().map_err(|_| bad(format!("{:?} is no UUID", brine_local::text::escape(text))))
}

/// The body of a request that may have none.
fn parse_optional<T: DeserializeOwned + Default>(body: &Bytes) -> Result<T, Problem> {
    if body.is_empty() { Ok(T::default()) } else { parse_body(body) }
}

async fn ask(api: &Api, principal: Principal, ask: ServerAsk) -> Result<ServerAnswer, Problem> {
    match api.ask(principal, Ask::Server(ask), None).await? {
        Answer::Server(answer) => Ok(answer),
        _ => Err(unexpected()),
    }
}

/// Asks what is answered with one record.
async fn ask_one(api: &Api, principal: Principal, wanted: ServerAsk) -> Reply {
    match ask(api, principal, wanted).await? {
        ServerAnswer::Server(server) => json_reply(&server),
        _ => Err(unexpected().into()),
    }
}

/// JSON with a secret in it, wiped once it is sent; nobody on the way may keep it.
fn secret_reply<T: Serialize>(status: StatusCode, value: &T, len: usize) -> Response {
    // In one piece from the beginning: what grows leaves copies behind.
    let mut body = Zeroizing::new(Vec::with_capacity(2 * len + 32 * 1024));
    serde_json::to_writer(&mut *body, value).expect("plain data is written to memory");
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, Bytes::from_owner(body)).into_response()
}

fn find(pairs: Vec<(String, String)>) -> Result<Find, Problem> {
    let mut find = Find::default();
    for (name, value) in pairs {
        match name.as_str() {
            "find" => {
                let term = value.parse().map_err(|error| {
                    bad(format!("the query's term {:?}: {error}", brine_local::text::escape(&value)))
                })?;
                find.terms.push(term);
                if find.terms.len() > TERMS_MAX {
                    return Err(bad(format!("the query has more than {TERMS_MAX} terms (find)")));
                }
            }
            "linked" => {
                let linked = value.parse().map_err(|_| bad("the query's linked is true or false"))?;
                find.linked = Some(linked);
            }
            "named" => find.named = Some(value),
            other => {
                let other = brine_local::text::escape(other);
                return Err(bad(format!("the query has {other:?}; there are find, linked and named")));
            }
        }
    }
    Ok(find)
}

pub(super) async fn list(State(api): State<Arc<Api>>, Caller(principal): Caller, query: Pairs) -> Reply {
    let Query(pairs) = query.map_err(|error| bad_query(&error))?;
    let mut find = find(pairs)?;
    let (servers, next) = page(&api, &principal, &find).await?;
    let Some(after) = next else { return json_reply(&servers) };
    find.after = Some(after);
    let later = stream::try_unfold(
        Some((api, principal, find)),
        async |rest: Option<(Arc<Api>, Principal, Find)>| {
            let Some((api, principal, mut find)) = rest else { return Ok(None) };
            let (servers, next) = page(&api, &principal, &find).await?;
            find.after = next;
            Ok(Some((servers, next.map(|_| (api, principal, find)))))
        },
    );
    Ok(streamed(stream::once(async { Ok(servers) }).chain(later)))
}

async fn page(
    api: &Api,
    principal: &Principal,
    find: &Find,
) -> Result<(Vec<Server>, Option<ServerId>), Problem> {
    match ask(api, principal.clone(), ServerAsk::List(find.clone())).await? {
        ServerAnswer::Servers(servers, next) => Ok((servers, next)),
        _ => Err(unexpected()),
    }
}

/// A JSON list whose pages are asked for as the caller reads, so that no more than one of them is
/// in memory. One that fails ends the answer in its midst: nobody takes that for the whole list.
fn streamed<T: Serialize>(pages: impl Stream<Item = Result<Vec<T>, Problem>> + Send + 'static) -> Response {
    let mut separator = "";
    let rows = pages.map(move |page| {
        let mut text = Vec::new();
        for row in page.map_err(|problem| io::Error::other(problem.detail))? {
            text.extend(std::mem::replace(&mut separator, ",").bytes());
            serde_json::to_writer(&mut text, &row)?;
        }
        if text.is_empty() {
            text.push(b'\n');
        }
        Ok::<_, io::Error>(Bytes::from(text))
    });
    let fixed = |text: &'static str| stream::once(async { Ok(Bytes::from_static(text.as_bytes())) });
    (
        [(header::CONTENT_TYPE, "application/json")],
        Body::from_stream(fixed("[").chain(rows).chain(fixed("]"))),
    )
        .into_response()
}

/// Asks for what makes a record, or a key for it.
async fn made(api: &Api, principal: Principal, wanted: ServerAsk) -> Reply {
    let ServerAnswer::Made { server, made, bundle } = ask(api, principal, wanted).await? else {
        return Err(unexpected().into());
    };
    let status = if made { StatusCode::CREATED } else { StatusCode::OK };
    let len = bundle.as_ref().map_or(0, |bundle| bundle.expose().len());
    Ok(secret_reply(status, &ServerMade { server: *server, made, bundle }, len))
}

pub(super) async fn create(State(api): State<Arc<Api>>, Caller(principal): Caller, body: Bytes) -> Reply {
    made(&api, principal, ServerAsk::Create(None, Box::new(parse_body(&body)?))).await
}

pub(super) async fn put(
    State(api): State<Arc<Api>>,
    Caller(principal): Caller,
    Segment(id): Segment<String>,
    body: Bytes,
) -> Reply {
    let wanted = ServerAsk::Create(Some(parse_uuid(&id)?), Box::new(parse_body(&body)?));
    made(&api, principal, wanted).await
}

pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Caller(principal): Caller,
    Segment(id): Segment<String>,
) -> Reply {
    ask_one(&api, principal, ServerAsk::Show(parse_uuid(&id)?)).await
}

pub(super) async fn change(
    State(api): State<Arc<Api>>,
    Caller(principal): Caller,
    Segment(id): Segment<String>,
    body: Bytes,
) -> Reply {
    let wanted = ServerAsk::Change(parse_uuid(&id)?, Box::new(parse_body(&body)?));
    ask_one(&api, principal, wanted).await
}

pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Caller(principal): Caller,
    Segment(id): Segment<String>,
    query: Result<Query<DeleteServer>, QueryRejection>,
) -> Reply {
    let Query(wanted) = query.map_err(|error| bad_query(&error))?;
    ask_one(&api, principal, ServerAsk::Delete(parse_uuid(&id)?, wanted)).await
}

pub(super) async fn history(
    State(api): State<Arc<Api>>,
    Caller(principal): Caller,
    Segment(id): Segment<String>,
) -> Reply {
    match ask(&api, principal, ServerAsk::History(parse_uuid(&id)?)).await? {
        ServerAnswer::History(decisions) => json_reply(&decisions),
        _ => Err(unexpected().into()),
    }
}

pub(super) async fn pair(
    State(api): State<Arc<Api>>,
    Caller(principal): Caller,
    Segment(id): Segment<String>,
    body: Bytes,
) -> Reply {
    ask_one(&api, principal, ServerAsk::Pair(parse_uuid(&id)?, parse_body(&body)?)).await
}

pub(super) async fn unpair(
    State(api): State<Arc<Api>>,
    Caller(principal): Caller,
    Segment(id): Segment<String>,
    body: Bytes,
) -> Reply {
    ask_one(&api, principal, ServerAsk::Unpair(parse_uuid(&id)?, parse_body(&body)?)).await
}

pub(super) async fn preseed(
    State(api): State<Arc<Api>>,
    Caller(principal): Caller,
    Segment(id): Segment<String>,
    body: Bytes,
) -> Reply {
    let wanted = ServerAsk::Preseed(parse_uuid(&id)?, parse_optional(&body)?);
    made(&api, principal, wanted).await
}

pub(super) async fn bundle(
    State(api): State<Arc<Api>>,
    Caller(principal): Caller,
    Segment(id): Segment<String>,
) -> Reply {
    let ServerAnswer::Bundle(bundle) = ask(&api, principal, ServerAsk::Bundle(parse_uuid(&id)?)).await?
    else {
        return Err(unexpected().into());
    };
    let len = bundle.expose().len();
    Ok(secret_reply(StatusCode::OK, &Bundle { bundle }, len))
}

pub(super) async fn import(State(api): State<Arc<Api>>, Caller(principal): Caller, body: Bytes) -> Reply {
    match ask(&api, principal, ServerAsk::Import(parse_body(&body)?)).await? {
        ServerAnswer::Imported(results) => json_reply(&results),
        _ => Err(unexpected().into()),
    }
}

pub(super) async fn tokens(State(api): State<Arc<Api>>, Caller(principal): Caller) -> Reply {
    match ask(&api, principal, ServerAsk::Tokens).await? {
        ServerAnswer::Tokens(tokens) => json_reply(&tokens),
        _ => Err(unexpected().into()),
    }
}

pub(super) async fn create_token(
    State(api): State<Arc<Api>>,
    Caller(principal): Caller,
    body: Bytes,
) -> Reply {
    let wanted = ServerAsk::CreateToken(parse_body(&body)?);
    let ServerAnswer::TokenMade { token, secret } = ask(&api, principal, wanted).await? else {
        return Err(unexpected().into());
    };
    let len = secret.expose().len();
    Ok(secret_reply(StatusCode::CREATED, &TokenMade { token: *token, secret }, len))
}

pub(super) async fn revoke_token(
    State(api): State<Arc<Api>>,
    Caller(principal): Caller,
    Segment(id): Segment<String>,
    query: Result<Query<RevokeToken>, QueryRejection>,
) -> Reply {
    let Query(how) = query.map_err(|error| bad_query(&error))?;
    match ask(&api, principal, ServerAsk::RevokeToken(parse_uuid(&id)?, how)).await? {
        ServerAnswer::Token(token) => json_reply(&token),
        _ => Err(unexpected().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_names_what_it_has_wrong() {
        let find = |pairs: &[(&str, &str)]| {
            find(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
        };
        let found = find(&[("find", "zone:Dij*"), ("find", "name:a"), ("linked", "true"), ("named", "é")]);
        let found = found.expect("a query");
        assert_eq!((found.terms.len(), found.linked, found.named.as_deref()), (2, Some(true), Some("é")));
        let find_all = |n| find(&vec![("find", "name:a"); n]);
        let refused = |pairs| find(pairs).expect_err("wrong").detail;
        assert!(refused(&[("find", "colour:red")]).contains("records have no field \"colour\""));
        assert!(find_all(16).is_ok());
        assert_eq!(find_all(17).expect_err("too many").kind, ProblemKind::BadRequest);
        assert!(refused(&[("linked", "yes")]).contains("true or false"));
        assert!(refused(&[("zone", "Dijon")]).contains("find, linked and named"));
    }

    #[tokio::test]
    async fn pages_are_one_list_or_visibly_none() {
        let sent = async |pages: Vec<Result<Vec<u32>, Problem>>| {
            let reply = streamed(stream::iter(pages));
            axum::body::to_bytes(reply.into_body(), usize::MAX).await
        };
        for (pages, expected) in [
            (vec![], "[]"),
            (vec![vec![], vec![]], "[]"),
            (vec![vec![1, 2], vec![], vec![3]], "[1,2,3]"),
            (vec![vec![], vec![1], vec![2, 3]], "[1,2,3]"),
        ] {
            let body = sent(pages.into_iter().map(Ok).collect()).await.expect("a body");
            let list: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
            assert_eq!(list.to_string(), expected);
        }
        assert!(sent(vec![Ok(vec![1]), Err(unexpected()), Ok(vec![2])]).await.is_err());
    }

    #[tokio::test]
    async fn a_secret_is_sent_whole_and_kept_by_nobody() {
        let answer = Bundle { bundle: "line\nof \"text\"".repeat(5000).into() };
        let reply = secret_reply(StatusCode::OK, &answer, answer.bundle.expose().len());
        assert_eq!(reply.headers()[header::CACHE_CONTROL], "no-store");
        let body = axum::body::to_bytes(reply.into_body(), usize::MAX).await.expect("a body");
        assert_eq!(serde_json::from_slice::<Bundle>(&body).expect("JSON"), answer);
    }
}
