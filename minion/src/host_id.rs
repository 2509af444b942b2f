//! The id of a minion whose configuration names none: its host name, as the options shape it.

use anyhow::{Context as _, Result};
use brine_protocol::MinionId;
use serde::{Deserialize, Serialize};

use crate::config::Options;

/// Which domain is cut off the host name: Salt's `minion_id_remove_domain`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RemoveDomain {
    /// Everything behind the first dot, or nothing.
    Any(bool),
    /// This one, if the name ends in it.
    This(String),
}

impl Default for RemoveDomain {
    fn default() -> Self {
        RemoveDomain::Any(false)
    }
}

/// The id for a host name.
#[must_use]
pub fn shape(host: &str, options: &Options) -> String {
    let mut id = if options.minion_id_lowercase { host.to_lowercase() } else { host.to_owned() };
    let cut = match &options.minion_id_remove_domain {
        RemoveDomain::Any(false) => None,
        RemoveDomain::Any(true) => id.find('.'),
        RemoveDomain::This(domain) => id
            .strip_suffix(domain.trim_start_matches('.'))
            .and_then(|rest| rest.strip_suffix('.'))
            .map(str::len),
    };
    id.truncate(cut.unwrap_or(id.len()));
    if let Some(domain) = &options.append_domain
        && !id.contains('.')
    {
        id = format!("{id}.{}", domain.trim_start_matches('.'));
    }
    id
}

/// The id that the options give this machine.
///
/// # Errors
/// There is no `id`, and the host name makes none.
pub fn id(options: &Options) -> Result<MinionId> {
    if let Some(id) = &options.id {
        return Ok(id.clone());
    }
    let host = nix::unistd::gethostname().context("cannot read the host name")?;
    let id = shape(&host.to_string_lossy(), options);
    id.parse().map_err(|error| {
        let id = brine_local::text::escape(&id);
        anyhow::anyhow!(
            "{id:?}, of the host name, cannot be this minion's id: {error}; give one with the option `id`"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_takes_the_shape_that_options_give_it() {
        let plain = Options::default();
        let lower = Options { minion_id_lowercase: true, ..Options::default() };
        let bare = Options { minion_id_remove_domain: RemoveDomain::Any(true), ..Options::default() };
        let without = Options {
            minion_id_remove_domain: RemoveDomain::This("example.org".to_owned()),
            ..Options::default()
        };
        let with = Options { append_domain: Some(".example.org".to_owned()), ..Options::default() };
        for (options, host, id) in [
            (&plain, "Web1.Example.org", "Web1.Example.org"),
            (&lower, "Web1.Example.org", "web1.example.org"),
            (&bare, "web1.example.org", "web1"),
            (&bare, "web1", "web1"),
            (&without, "web1.example.org", "web1"),
            (&without, "web1.other.org", "web1.other.org"),
            (&without, "web1.anexample.org", "web1.anexample.org"),
            (&without, "example.org", "example.org"),
            (&with, "web1", "web1.example.org"),
            (&with, "web1.other.org", "web1.other.org"),
        ] {
            assert_eq!(shape(host, options), id, "{host}");
        }
    }

    #[test]
    fn an_id_that_is_said_is_not_shaped() {
        let named = Options {
            id: Some("Web1.example.org".parse().unwrap()),
            minion_id_lowercase: true,
            ..Options::default()
        };
        assert_eq!(id(&named).unwrap().as_str(), "Web1.example.org");
    }
}
