//! Options of `salt` that mean something which is done otherwise here: known, so that the answer can
//! name the nearest thing.

use clap::Args;

use super::super::failure::Failure;

/// What is refused with a sentence, and what changes nothing.
#[derive(Debug, Clone, Default, Args)]
pub(in crate::cli) struct Elsewhere {
    #[arg(short = 'a', long = "auth", aliases = ["eauth", "external-auth"], hide = true, value_name = "NAME")]
    auth: Option<String>,
    #[arg(short = 'T', long, hide = true)]
    make_token: bool,
    #[arg(long, hide = true, value_name = "NAME")]
    username: Option<String>,
    #[arg(long, hide = true, value_name = "TEXT")]
    password: Option<String>,
    #[arg(long = "return", hide = true, value_name = "NAME")]
    returner: Option<String>,
    #[arg(short = 'u', long, hide = true, value_name = "NAME")]
    user: Option<String>,
    #[arg(long, hide = true, value_name = "FILE")]
    saltfile: Option<String>,
    // These say how Salt's command logs, fails and shows states: nothing of it is here.
    #[arg(short = 'l', long = "log-level", hide = true, value_name = "LEVEL")]
    _log_level: Option<String>,
    #[arg(long = "hard-crash", hide = true)]
    _hard_crash: bool,
    #[arg(long = "state-output", alias = "state_output", hide = true, value_name = "FORM")]
    _state_output: Option<String>,
}

impl Elsewhere {
    /// Refuses what is not here.
    ///
    /// # Errors
    /// The first such option, and what there is instead.
    pub(in crate::cli) fn check(&self) -> Result<(), Failure> {
        let refused = [
            (
                self.auth.is_some() || self.make_token || self.username.is_some() || self.password.is_some(),
                "-a, -T, --username and --password: nobody logs in here, the master knows who asks from the \
                 socket; an administrator lists users under roles: or publisher_acl: in master.yaml",
            ),
            (
                self.returner.is_some(),
                "--return: every return is kept by the master; see brine jobs show, or follow brine events",
            ),
            (self.user.is_some(), "-u: run it as that user, or with --as NAME for that name's rights"),
            (self.saltfile.is_some(), "--saltfile: there is none here; -c DIR reads another master.yaml"),
        ];
        match refused.into_iter().find(|(is_given, _)| *is_given) {
            Some((_, instead)) => Err(Failure::Usage(instead.to_owned())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::RunLine;

    fn check(words: &[&str]) -> Result<(), String> {
        let line = [&["brine", "*", "test.ping"], words].concat();
        let line = RunLine::try_parse_from(line).expect("a line");
        line.elsewhere.check().map_err(|failure| failure.to_string())
    }

    #[test]
    fn what_is_done_otherwise_is_named() {
        for words in
            [&["-a", "pam"][..], &["--eauth", "pam"], &["-T"], &["--username", "x", "--password", "y"]]
        {
            assert!(check(words).expect_err("refused").contains("publisher_acl"), "{words:?}");
        }
        assert!(check(&["--return", "mysql"]).expect_err("refused").contains("brine jobs show"));
        assert!(check(&["-u", "ann"]).expect_err("refused").contains("--as"));
        assert!(check(&["--saltfile", "x"]).expect_err("refused").contains("-c DIR"));
    }

    #[test]
    fn what_changes_nothing_is_taken() {
        for words in
            [&["-l", "debug"][..], &["--log-level=quiet"], &["--hard-crash"], &["--state-output", "terse"]]
        {
            assert_eq!(check(words), Ok(()), "{words:?}");
        }
    }
}
