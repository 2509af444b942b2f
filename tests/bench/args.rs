//! What `brine-bench` is told.

use std::path::PathBuf;

use clap::Parser;
use clap::builder::FalseyValueParser;

use crate::catalog;

/// What its exit code says.
const ENDS: &str = "It ends with 0 when all that was asked for is in the table. A missed target is said there and \
    fails nothing: machines differ. It ends with 1 when something could not be measured, and says what and why; \
    everything else is measured and written all the same. The JSON is a list of \
    {name, value, unit, limit, limit_name, ratio, n}; a value is the median of several runs where the table has a \
    spread, the least and the most of them.";

/// Measure a master and its minions, each figure beside the limit of this machine.
#[derive(Debug, Parser)]
#[command(name = "brine-bench", version, after_help = ENDS)]
pub struct Args {
    /// Measure only these, by name, and what they need
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', value_parser = name)]
    pub only: Vec<String>,

    /// Small numbers, so that everything runs within seconds: to see that it runs, not to learn speeds
    #[arg(long, env = "BENCH_QUICK", value_parser = FalseyValueParser::new())]
    pub quick: bool,

    /// Where the list of rows goes as JSON
    #[arg(long, value_name = "FILE", default_value = "target/bench.json")]
    pub out: PathBuf,

    /// The folder that the swarm's key pairs are kept in
    #[arg(long, value_name = "DIR", default_value = "target/swarm-keys")]
    pub key_dir: PathBuf,

    /// A Python in which `import salt` works: its `test.ping` is measured for a column beside ours
    #[arg(long, value_name = "PROGRAM")]
    pub salt_python: Option<PathBuf>,

    /// Be the raw peer that the network's limits are measured with
    #[arg(long, hide = true)]
    pub raw_server: bool,
}

fn name(text: &str) -> Result<String, String> {
    if catalog::find(text).is_some() {
        return Ok(text.to_owned());
    }
    let names: Vec<&str> = catalog::MEASURES.iter().map(|measure| measure.name).collect();
    Err(format!("it is none of: {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_before_anything_runs() {
        let args = Args::try_parse_from(["brine-bench", "--only", "cli_one_ms,broadcast_100_s"]).unwrap();
        assert_eq!(args.only, ["cli_one_ms", "broadcast_100_s"]);
        let error = Args::try_parse_from(["brine-bench", "--only", "cli_one"]).unwrap_err().to_string();
        assert!(error.contains("cli_one_ms, cli_ten_ms"), "{error}");
    }
}
