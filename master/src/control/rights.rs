//! Streams and rights: what a caller reads goes on only as long as it may read it.
//!
//! Every other request is judged when it comes. A stream stays open for days, so it ends when the
//! roles that a reload brought give its caller other rights than it was opened with; a client
//! comes back, and is judged again.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use brine_protocol::control::Problem;
use futures_util::StreamExt;
use tokio::sync::watch;

use super::Api;
use super::caller::{Peer, user};
use crate::roles::{Principal, Roles};

/// Ends the streams of callers whose rights change.
pub(super) async fn end_streams(
    State(api): State<Arc<Api>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let mut roles = api.roles.clone();
    let before = Arc::clone(&roles.borrow_and_update());
    let headers = request.headers().clone();
    let response = next.run(request).await;
    let content = response.headers().get(header::CONTENT_TYPE);
    if !content.is_some_and(|content| content.as_bytes().starts_with(b"text/event-stream")) {
        return response;
    }
    let who = move |roles: &Roles| {
        let (uid, name) = user(peer)?;
        api.principal_under(roles, uid, name.as_deref(), &headers)
    };
    let other = Box::pin(otherwise(roles, before, who));
    response.map(|body| Body::from_stream(body.into_data_stream().take_until(other)))
}

/// Ready when somebody has other rights than under the roles `before`, or none where there were
/// some. Whoever had none there got them since: the stream was opened under roles newer than those.
async fn otherwise(
    mut roles: watch::Receiver<Arc<Roles>>,
    before: Arc<Roles>,
    who: impl Fn(&Roles) -> Result<Principal, Problem>,
) {
    let was = who(&before).ok();
    // Without a sender the roles stay what they are.
    while roles.changed().await.is_ok() {
        let now = Arc::clone(&roles.borrow_and_update());
        if who(&now).ok() != was {
            return;
        }
    }
    std::future::pending::<()>().await;
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use serde_json::json;

    use super::*;
    use crate::config::Config;

    fn roles(vera: Option<&str>) -> Arc<Roles> {
        let listed = vera.map_or(json!({}), |role| json!({"vera": {"role": role}}));
        let config: Config = serde_json::from_value(json!({"roles": listed})).expect("options");
        Arc::new(config.read_roles().expect("roles"))
    }

    #[test]
    fn a_stream_ends_when_rights_change_however_it_was_opened() {
        for (before, then, does_end) in [
            (Some("viewer"), Some("viewer"), false),
            (Some("viewer"), Some("operator"), true),
            (Some("viewer"), None, true),
            // Granted between the look at the roles and the opening: the next change has to be seen.
            (None, Some("viewer"), true),
            (None, None, false),
        ] {
            let sender = watch::Sender::new(roles(before));
            let mut receiver = sender.subscribe();
            let before = Arc::clone(&receiver.borrow_and_update());
            let who = |roles: &Roles| roles.principal(4242, Some("vera"), 1);
            let mut other = Box::pin(otherwise(receiver, before, who));
            assert_eq!((&mut other).now_or_never(), None);
            sender.send_replace(roles(then));
            assert_eq!(other.now_or_never().is_some(), does_end, "{then:?}");
        }
    }
}
