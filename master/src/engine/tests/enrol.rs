//! Enrolment tokens: who shows one is in, and nobody else gets to see it.

use super::servers::{event, pairing, request, server_answer};
use super::*;
use brine_protocol::control::{Key, RevokeToken, ServerRequest, Token, TokenRequest, Way};
use brine_protocol::message::TokenRefused;

use crate::engine::{ServerAnswer, ServerAsk};

fn wanted(server: Option<ServerId>, pattern: Option<&str>, uses: Option<u32>) -> TokenRequest {
    let id_pattern = pattern.map(str::to_owned);
    TokenRequest { server, id_pattern, uses, expires_s: Some(60), reason: None }
}

impl World {
    fn token(&mut self, wanted: TokenRequest) -> (Token, Secret) {
        let out = self.server(ServerAsk::CreateToken(wanted));
        let ServerAnswer::TokenMade { token, secret } = server_answer(&out) else { panic!("{out:?}") };
        assert_eq!(out.tags(), [format!("brine/token/{}/created", token.id)]);
        assert!(!format!("{out:?}").contains(secret.expose()), "{out:?}");
        ((**token).clone(), secret.clone())
    }

    fn show_token(&mut self, conn: u64, name: &str, token: &Secret) -> Out {
        let knock = Knock { token: Some(token.clone()), host: "host".to_owned(), ..Knock::default() };
        self.opened(conn, name, ToMaster::Knock(knock))
    }

    fn tokens(&mut self) -> Vec<Token> {
        let out = self.server(ServerAsk::Tokens);
        let ServerAnswer::Tokens(tokens) = server_answer(&out) else { panic!("{out:?}") };
        tokens.clone()
    }

    fn keys(&mut self) -> Vec<Key> {
        let out = self.ask(Ask::Keys(KeysQuery::default()));
        let Answer::Keys(keys) = out.answer() else { panic!("{out:?}") };
        keys.clone()
    }
}

fn why(out: &Out, conn: u64) -> String {
    let refused = out.sent(conn).into_iter().find_map(|message| match message {
        ToMinion::TokenRefused(TokenRefused { why }) => Some(why.clone()),
        _ => None,
    });
    refused.unwrap_or_else(|| panic!("not refused: {out:?}"))
}

#[test]
fn who_shows_a_records_token_is_in_and_linked() {
    let mut world = World::new();
    let server = world.create(request("Collège Éluard"));
    let (token, secret) = world.token(wanted(Some(server), None, None));
    assert_eq!((token.uses, token.used), (1, 0));
    assert!(secret.expose().starts_with("brt_") && secret.expose().len() == 68);
    let out = world.show_token(1, "web1", &secret);
    let linked = format!("brine/server/{server}/linked");
    assert_eq!(out.tags(), ["brine/key/web1/pending", "brine/key/web1/accepted", &linked]);
    assert!(matches!(out.sent(1)[..], [ToMinion::Standing(Standing::Accepted { .. })]), "{out:?}");
    assert!(!format!("{out:?}").contains(secret.expose()), "nothing that is told shows it");
    world.frame(1, start("j", &[]));
    assert_eq!(world.submit("web1").orders(1).len(), 1);
    let link = world.show(server).link.expect("linked");
    assert_eq!((link.way, link.by), (Way::Enrolled, format!("token:{}", token.id)));
    assert_eq!(world.tokens()[0].used, 1);

    // Once.
    let out = world.show_token(2, "web2", &secret);
    assert!(why(&out, 2).contains("used as often as it may be"));
    assert_eq!(out.tags(), ["brine/key/web2/pending", "brine/key/web2/token_refused"]);
    assert!(!out.0.iter().any(|output| matches!(output, Output::Persist(_))), "a stranger fills no disk");
    let keys = world.keys();
    assert!(keys.iter().all(|key| key.claims.token.is_none() && key.claims.host == "host"));
    assert_eq!(keys.iter().find(|key| key.id == id("web2")).map(|key| key.state), Some(KeyState::Pending));
    // It waits like any other.
    world.act(Act::Accept, "web2");
    assert_eq!(world.frame(2, start("j", &[])).tags(), ["brine/minion/web2/start"]);
}

#[test]
fn a_token_for_a_pattern_lets_in_so_many_without_a_record() {
    let mut world = World::new();
    let (_, secret) = world.token(wanted(None, Some("web-*"), Some(2)));
    assert!(why(&world.show_token(1, "db-1", &secret), 1).contains("not for the minion db-1"));
    for (conn, name) in [(2, "web-1"), (3, "web-2")] {
        let out = world.show_token(conn, name, &secret);
        assert!(matches!(out.sent(conn)[..], [ToMinion::Standing(Standing::Accepted { .. })]), "{out:?}");
        assert_eq!(out.tags().len(), 2, "no record is linked: {out:?}");
    }
    assert!(why(&world.show_token(4, "web-3", &secret), 4).contains("used"));
}

#[test]
fn a_token_that_is_too_old_revoked_or_made_up_is_refused() {
    let mut world = World::new();
    let (_, old) = world.token(wanted(None, Some("*"), None));
    world.pass(61);
    assert!(why(&world.show_token(1, "web1", &old), 1).contains("was good until"));
    let (token, revoked) = world.token(wanted(None, Some("*"), None));
    let how = RevokeToken { reason: Some("lost".to_owned()) };
    let out = world.server(ServerAsk::RevokeToken(token.id, how));
    assert_eq!(out.tags(), [format!("brine/token/{}/revoked", token.id)]);
    assert_eq!(event(&out, out.tags()[0]).data["reason"], "lost");
    for token in [revoked, Secret::from("brt_made up".to_owned())] {
        assert!(why(&world.show_token(2, "web2", &token), 2).contains("not known here"));
    }
    assert_eq!(
        problem(&world.server(ServerAsk::RevokeToken(token.id, RevokeToken::default()))).kind,
        ProblemKind::NotFound
    );
}

#[test]
fn a_token_takes_no_id_from_its_holder_and_no_record_from_its_minion() {
    let mut world = World::new();
    world.live(1, "web1");
    let (_, secret) = world.token(wanted(None, Some("*"), Some(5)));
    let out = world.show_token(2, "web1'", &secret);
    assert!(why(&out, 2).contains("held by another key"));
    assert!(!out.cut(1));
    let server = world.create(request("a"));
    let (_, of_record) = world.token(wanted(Some(server), None, None));
    world.server(ServerAsk::Pair(server, pairing("web1", false)));
    assert!(why(&world.show_token(3, "web2", &of_record), 3).contains("has a minion already"));
    let named = world.create(ServerRequest { minion_id: Some(id("web9")), ..request("b") });
    let (_, for_web9) = world.token(wanted(Some(named), None, None));
    assert!(why(&world.show_token(4, "web3", &for_web9), 4).contains("not for the minion web3"));
}

#[test]
fn a_token_does_not_help_whom_a_rule_or_an_operator_turns_away() {
    let mut world = World::new();
    let (_, secret) = world.token(wanted(None, Some("*"), Some(5)));
    world.knock(1, "web1");
    world.act(Act::Reject, "web1");
    let out = world.show_token(2, "web1", &secret);
    assert!(out.cut(2) && out.tags().is_empty(), "{out:?}");
    assert_eq!(world.tokens()[0].used, 0);
    // Who is in already needs none.
    world.live(3, "web2");
    let out = world.show_token(4, "web2", &secret);
    assert!(matches!(out.sent(4)[..], [ToMinion::Standing(Standing::Accepted { .. })]), "{out:?}");
    assert_eq!(world.tokens()[0].used, 0);
}

#[test]
fn what_makes_no_sense_is_no_token() {
    let mut world = World::new();
    let server = world.create(request("a"));
    for (bad, why) in [
        (wanted(None, None, None), "say one of the two"),
        (wanted(Some(server), Some("*"), None), "say one of the two"),
        (wanted(Some(server), None, Some(2)), "exactly one"),
        (wanted(None, Some("*"), Some(0)), "at least one use"),
        (wanted(None, Some(""), None), "pattern"),
        (TokenRequest { expires_s: Some(0), ..wanted(None, Some("*"), None) }, "expires_s"),
    ] {
        let out = world.server(ServerAsk::CreateToken(bad));
        assert_eq!(problem(&out).kind, ProblemKind::BadRequest, "{out:?}");
        assert!(problem(&out).detail.contains(why), "{out:?}");
    }
    let unknown = ServerId::from_random([200; 16]);
    let out = world.server(ServerAsk::CreateToken(wanted(Some(unknown), None, None)));
    assert_eq!(problem(&out).kind, ProblemKind::NotFound);
}
