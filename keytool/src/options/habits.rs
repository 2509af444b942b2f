//! Flags of salt-key that mean nothing here: the harmless ones are taken, with a sentence where
//! somebody may rely on what they did; what cannot be done is refused with the reason.

use std::path::PathBuf;

use clap::Args;

use crate::failure::Failure;

/// salt-key's flags without a meaning of their own.
#[derive(Debug, Args)]
pub(super) struct Habits {
    #[arg(long, hide = true, value_name = "BOOL", value_parser = truth)]
    rotate_aes_key: Option<bool>,
    #[arg(long, hide = true, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", value_parser = truth)]
    preserve_minions: Option<bool>,
    #[arg(long, hide = true)]
    hard_crash: bool,
    #[arg(long, hide = true)]
    log_level: Option<String>,
    #[arg(long, hide = true)]
    log_file: Option<PathBuf>,
    #[arg(long, hide = true)]
    log_file_level: Option<String>,
    #[arg(long, hide = true, alias = "state_output")]
    state_output: Option<String>,
    #[arg(long, hide = true, alias = "state_verbose")]
    state_verbose: Option<String>,
    #[arg(long = "priv", hide = true)]
    private: Option<PathBuf>,
    #[arg(long = "pub", hide = true)]
    public: Option<PathBuf>,
    #[arg(long, hide = true)]
    signature_path: Option<PathBuf>,
    #[arg(long, hide = true)]
    auto_create: bool,

    #[arg(long, hide = true)]
    gen_signature: bool,
    #[arg(long, hide = true)]
    saltfile: Option<PathBuf>,
    #[arg(short = 'u', long, hide = true)]
    user: Option<String>,
    #[arg(long, hide = true, aliases = ["eauth", "external-auth"])]
    auth: Option<String>,
    #[arg(short = 'T', long, hide = true)]
    make_token: bool,
    #[arg(long, hide = true)]
    username: Option<String>,
    #[arg(long, hide = true)]
    password: Option<String>,
}

fn truth(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err("expected True or False".to_owned()),
    }
}

impl Habits {
    /// A sentence per flag that does other than what somebody may expect.
    ///
    /// Refused is what would otherwise be done in another way than asked for.
    pub(super) fn notes(&self) -> Result<Vec<String>, Failure> {
        let me = nix::unistd::User::from_uid(nix::unistd::Uid::current()).ok().flatten();
        let is_other = self.user.as_ref().is_some_and(|user| me.is_none_or(|me| me.name != *user));
        let refused = [
            (
                self.gen_signature,
                "--gen-signature: a master proves its key in every handshake, so there is no signature file \
                 to make; a new master key is brought in by: brine-key rotate-master",
            ),
            (
                self.saltfile.is_some(),
                "--saltfile: Saltfiles are not read; name the folder of master.yaml with -c",
            ),
            (
                is_other,
                "--user: brine-key runs as whoever starts it; start it as that user, or act under a listed \
                 name with --as NAME",
            ),
            (
                self.auth.is_some() || self.make_token || self.username.is_some() || self.password.is_some(),
                "external authentication is not needed here: the master knows who asks from its socket; \
                 to act with another's rights: --as NAME",
            ),
        ];
        if let Some((_, why)) = refused.iter().find(|(is_asked, _)| *is_asked) {
            return Err(Failure::Usage((*why).to_owned()));
        }
        let noted = [
            (
                self.rotate_aes_key == Some(false),
                "--rotate-aes-key=False changes nothing: who is removed is cut off at once, and no other \
                 minion has to sign in again for it",
            ),
            (
                self.preserve_minions == Some(true),
                "--preserve-minions changes nothing: what is known of a minion goes with its key, so that a \
                 later owner of the id never sees it; its jobs stay",
            ),
        ];
        Ok(noted.iter().filter(|(is_asked, _)| *is_asked).map(|(_, why)| (*why).to_owned()).collect())
    }
}
