//! Which record a word means.

use brine_client::Client;
use brine_local::output::escape;
use brine_protocol::control::{Server, ServersQuery};
use brine_protocol::server::ServerId;

use crate::cli::failure::Failure;

/// So many records of one name are told apart in an error; the rest is counted.
const NAMED_MAX: usize = 20;

/// The one record with this id, external id or name.
pub(in crate::cli) async fn resolve(client: &Client, text: &str) -> Result<Server, Failure> {
    one(text, named(client, text).await?).map_err(Failure::Usage)
}

/// The same for a record that may be deleted: nothing names that any more but its id.
pub(super) async fn resolve_past(client: &Client, text: &str) -> Result<ServerId, Failure> {
    let found = named(client, text).await?;
    match text.parse() {
        Ok(id) if found.is_empty() => Ok(id),
        _ => one(text, found).map(|server| server.id).map_err(Failure::Usage),
    }
}

async fn named(client: &Client, text: &str) -> Result<Vec<Server>, Failure> {
    let query = ServersQuery { named: Some(text.to_owned()), ..ServersQuery::default() };
    Ok(client.servers(&query).await?)
}

fn one(text: &str, mut found: Vec<Server>) -> Result<Server, String> {
    let text = escape(text);
    match found.len() {
        0 => Err(format!(
            "no server record has the id, external id or name \"{text}\"; see: brine server list"
        )),
        1 => Ok(found.remove(0)),
        several => {
            let named = found.iter().take(NAMED_MAX).map(|server| {
                let zone =
                    server.record.zone.as_deref().map_or("no zone".to_owned(), |zone| format!("zone {zone}"));
                escape(&format!("{} ({}, {zone})", server.id, server.record.name))
            });
            let mut named: Vec<String> = named.collect();
            if several > NAMED_MAX {
                named.push(format!("and {} more", several - NAMED_MAX));
            }
            Err(format!(
                "{several} server records are called \"{text}\"; name one by its id: {}",
                named.join(", ")
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::server;
    use super::*;

    #[test]
    fn one_record_or_a_reason() {
        assert_eq!(one("web1", vec![server(1, "web1")]).map(|server| server.id), Ok(server(1, "").id));
        assert_eq!(
            one("web\u{1b}", Vec::new()),
            Err("no server record has the id, external id or name \"web\\u{1b}\"; see: brine server list"
                .to_owned())
        );
        let mut other = server(2, "web1");
        other.record.zone = None;
        assert_eq!(
            one("web1", vec![server(1, "web1"), other]),
            Err("2 server records are called \"web1\"; name one by its id: \
                 01010101-0101-4101-8101-010101010101 (web1, zone Dijon), \
                 02020202-0202-4202-8202-020202020202 (web1, no zone)"
                .to_owned())
        );
        let many = (0..23).map(|n| server(n, "web1")).collect();
        let error = one("web1", many).expect_err("many");
        assert!(
            error.starts_with("23 server") && error.ends_with("(web1, zone Dijon), and 3 more"),
            "{error}"
        );
    }
}
