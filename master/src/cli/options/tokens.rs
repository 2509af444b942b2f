//! The words of `brine token`.

use clap::{ArgGroup, Args, Subcommand};

use super::servers::lifetime;

pub(super) const TOKEN_EXAMPLES: &str = "\
Examples:
  brine token create --server web1                       one minion, linked to this record
  brine token create --id-pattern 'web-*' --uses 20      so many minions whose ids match
  TOKEN=$(brine token create --server web1 --out txt)    nothing but the token, for a script
  brine token revoke 6f1d3c1e-6a53-4b35-9a2e-0d8b1a3c4d5e

The token is printed once and not kept. A minion shows it only to a master that it can tell from others:
set master_finger in its minion.yaml.";

const CREATE_EXAMPLES: &str = "\
Examples:
  brine token create --server web1 --expires 2d
  (umask 077; brine token create --server web1 --out txt > web1.token)    for brine-connect --token-file";

/// `brine token …`
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum TokenVerb {
    /// Make a token and print it, this once.
    #[command(after_help = CREATE_EXAMPLES)]
    Create(Token),
    /// All tokens that are known, without their secrets.
    List,
    /// Make a token worthless.
    Revoke {
        /// The token's id, as the list shows it.
        token: String,
        /// Why, for the ledger.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
}

/// `brine token create`
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("for").required(true).args(["server", "id_pattern"]))]
pub(in crate::cli) struct Token {
    /// The record that the minion will be linked to: its id, external id or name.
    #[arg(long)]
    pub(in crate::cli) server: Option<String>,
    /// What a minion's id has to match.
    #[arg(long, value_name = "GLOB")]
    pub(in crate::cli) id_pattern: Option<String>,
    /// How many minions may use it [default: 1].
    #[arg(long, value_name = "N", conflicts_with = "server", value_parser = clap::value_parser!(u32).range(1..))]
    pub(in crate::cli) uses: Option<u32>,
    /// How long it is good [default: 24h].
    #[arg(long, value_name = "TIME", value_parser = lifetime)]
    pub(in crate::cli) expires: Option<u64>,
    /// Why, for the ledger.
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) reason: Option<String>,
}
