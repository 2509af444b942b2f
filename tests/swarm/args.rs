//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use brine_tests::swarm::Options;
use brine_tests::swarm::answer::{Manner, REPLY_MAX};
use brine_tests::swarm::options::{Master, Sources};
use clap::Parser;

const AFTER: &str = "\
How to run ten thousand:
  brine-swarm --minions 10000 --provision /srv/m     with the master stopped: lets the ids in
  brine-master --root-dir /srv/m &
  brine-swarm --minions 10000 --report swarm.jsonl &
  brine --root-dir /srv/m 'swarm-*' test.ping --summary
Both calls of brine-swarm need the same --prefix, --keys, --key-bits and --key-dir.

What they can run: test.ping, test.true, test.false, test.version, test.echo TEXT,
test.arg, test.sleep SECONDS, and swarm.reply SIZE, which answers with so many bytes.
Everything else ends with retcode 254.

What is not like a real minion: key pairs are shared, what would be in a journal is in
memory, and a broadcast's signature is verified once for all (see --check-each).
Signatures of handshakes are made here, where in a real fleet each machine makes its own;
their CPU time is told apart.";

/// Simulated minions, thousands in one process, that speak the real protocol to a real master.
#[derive(Debug, Parser)]
#[command(name = "brine-swarm", version, after_help = AFTER)]
pub struct Args {
    /// How many minions. Each takes two descriptors; as many as fit are started, and it is said how many
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub minions: usize,

    /// The master: HOST, or HOST:PUBLISH,RET
    #[arg(long, value_name = "HOST:PORTS", default_value = "127.0.0.1:4505,4506")]
    pub master: Master,

    /// What the ids begin with; five digits follow
    #[arg(long, value_name = "TEXT", default_value = "swarm-")]
    pub prefix: String,

    /// How many key pairs they share in turn. Missing ones are made first
    #[arg(long, value_name = "K", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    pub keys: u16,

    /// Length of the keys. Real minions have 4096; one signature of 2048 costs a sixth of that
    #[arg(long, value_name = "BITS", default_value_t = 4096, value_parser = clap::value_parser!(u16).range(2048..=4096))]
    pub key_bits: u16,

    /// The folder that the key pairs are kept in
    #[arg(long, value_name = "DIR", default_value = "target/swarm-keys")]
    pub key_dir: PathBuf,

    /// How many begin in a second; 0 for all at once. Whoever is sent away or cut off comes back as a
    /// real minion does, with growing pauses
    #[arg(long, value_name = "R", default_value_t = 500.0)]
    pub ramp: f64,

    /// Most that connect and sign at the same time. More only wait here for a processor to sign with, and
    /// a master cuts off whoever takes longer than its handshake_timeout_ms
    #[arg(long, value_name = "N", default_value_t = 128)]
    pub at_once: usize,

    /// Have all connect first and sign, and send what they have signed at the same moment, as a fleet does
    /// whose machines sign each for themselves. The master's handshake_timeout_ms has to allow it: two
    /// processors sign about 200 a second
    #[arg(long)]
    pub together: bool,

    /// Have each sign whenever it comes back, as if it had no ticket
    #[arg(long)]
    pub cold: bool,

    /// Answer every function with a text of this size instead of its own value
    #[arg(long, value_name = "BYTES")]
    pub reply_size: Option<usize>,

    /// How long every job takes, besides what it sleeps
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub think_ms: u64,

    /// The share of answers that fail, from 0 to 1: which ones follows from job and minion
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub fail_rate: f64,

    /// The addresses that they connect from, in turn: a master limits each address. Default: 127.0.0.0/24
    /// for a master on the loopback, and what the system takes for any other
    #[arg(long, value_name = "NETWORK")]
    pub from: Option<Sources>,

    /// Have each minion verify each broadcast by itself: honest processor time of a fleet, taken from this
    /// machine's
    #[arg(long)]
    pub check_each: bool,

    /// Stop after so many seconds; without it, at Ctrl-C or SIGTERM
    #[arg(long = "for", value_name = "SECONDS")]
    pub seconds: Option<f64>,

    /// Append a line of JSON a second, and a last one with "end": true
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,

    /// Accept the ids in the ledger under this root of a master that does not run, and end
    #[arg(long, value_name = "ROOT")]
    pub provision: Option<PathBuf>,
}

impl Args {
    /// What the swarm is to be.
    ///
    /// # Errors
    /// One sentence about the option that is wrong.
    pub fn options(&self) -> Result<Options, String> {
        if format!("{}00000", self.prefix).parse::<brine_protocol::MinionId>().is_err() {
            return Err(format!("--prefix {:?} followed by digits is no minion id", self.prefix));
        }
        if !(0.0..=1.0).contains(&self.fail_rate) {
            return Err(format!("--fail-rate is a share from 0 to 1, not {}", self.fail_rate));
        }
        if !self.ramp.is_finite() || self.ramp < 0.0 {
            return Err(format!("--ramp is a number of minions a second, not {}", self.ramp));
        }
        if self.seconds.is_some_and(|seconds| !(0.0..1e9).contains(&seconds)) {
            return Err("--for is a number of seconds".to_owned());
        }
        if self.reply_size.is_some_and(|size| size > REPLY_MAX) {
            return Err(format!("--reply-size is at most {REPLY_MAX}: more does not fit a message"));
        }
        let near = Some(Sources::LOOPBACK)
            .filter(|_| self.master.address.is_loopback() && self.master.address.is_ipv4());
        Ok(Options {
            minions: self.minions,
            master: self.master,
            prefix: self.prefix.clone(),
            ramp: self.ramp,
            at_once: self.at_once,
            together: self.together,
            resumes: !self.cold,
            from: self.from.or(near),
            manner: Manner {
                reply_size: self.reply_size,
                think: Duration::from_millis(self.think_ms),
                fail_rate: self.fail_rate,
            },
            check_each: self.check_each,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(words: &[&str]) -> Result<Options, String> {
        let words = ["brine-swarm"].iter().chain(words);
        Args::try_parse_from(words).map_err(|error| error.to_string()).and_then(|args| args.options())
    }

    #[test]
    fn options_that_make_no_sense_are_refused_by_name() {
        for (words, name) in [
            (["--prefix", "-"], "--prefix"),
            (["--fail-rate", "2"], "--fail-rate"),
            (["--ramp", "nan"], "--ramp"),
            (["--reply-size", "1000000"], "--reply-size"),
            (["--key-bits", "1024"], "--key-bits"),
            (["--keys", "0"], "--keys"),
            (["--master", "127.0.0.1:1,x"], "--master"),
            (["--from", "::1"], "--from"),
            (["--for", "-1"], "--for"),
        ] {
            let words = [format!("{}={}", words[0], words[1])];
            let error = said(&[&words[0]]).unwrap_err();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn a_near_master_is_dialled_from_many_addresses() {
        assert_eq!(said(&[]).unwrap().from, Some(Sources::LOOPBACK));
        assert_eq!(said(&["--master", "192.0.2.1"]).unwrap().from, None);
        assert!(said(&["--master", "192.0.2.1", "--from", "10.0.0.0/8"]).unwrap().from.is_some());
    }
}
