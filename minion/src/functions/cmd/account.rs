//! The users of the machine, and becoming one of them.

use std::path::PathBuf;

use nix::unistd::{AccessFlags, User, access, geteuid};

use super::Fault;
use crate::functions::tool::PATH;

/// A user of the machine.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) home: PathBuf,
    pub(super) shell: PathBuf,
}

impl Account {
    /// What a login would have set.
    pub(super) fn environment(&self) -> [(String, String); 4] {
        [
            ("HOME", self.home.display().to_string()),
            ("USER", self.name.clone()),
            ("LOGNAME", self.name.clone()),
            ("SHELL", self.shell.display().to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
    }
}

pub(super) async fn look_up(name: String) -> Result<Account, Fault> {
    let asked = name.clone();
    // A directory service may take its time over the answer.
    let found = tokio::task::spawn_blocking(move || User::from_name(&asked))
        .await
        .map_err(|_| Fault::Execution("the minion is stopping".to_owned()))?;
    match found {
        Ok(Some(user)) => Ok(Account {
            name: user.name,
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
            home: user.dir,
            shell: user.shell,
        }),
        Ok(None) => Err(Fault::Execution(format!("User '{name}' is not available"))),
        Err(reason) => Err(Fault::Execution(format!("User '{name}' cannot be looked up: {reason}"))),
    }
}

/// The program that becomes another user.
pub(super) fn setpriv(account: &Account) -> Result<PathBuf, Fault> {
    if !geteuid().is_root() {
        let why = format!("runas: only a minion that runs as root can become the user '{}'", account.name);
        return Err(Fault::Execution(why));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(std::env::split_paths(PATH));
    folders
        .map(|folder| folder.join("setpriv"))
        .find(|program| program.is_absolute() && access(program, AccessFlags::X_OK).is_ok())
        .ok_or_else(|| {
            Fault::Execution(
                "runas: the program 'setpriv' (package util-linux) is not on this machine".to_owned(),
            )
        })
}
