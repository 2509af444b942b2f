//! Verbs of the control API and the roles that may use them: one table, deny by default.

use serde::{Deserialize, Serialize};

/// Everything that can be asked of a master.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Read the state and counters of the master.
    Health,
    /// List keys.
    KeysList,
    /// Accept, reject, delete, suspend or resume keys.
    KeysAct,
    /// Take in keys that never knocked here.
    KeysImport,
    /// Rotate the master's own key.
    MasterRotate,
    /// List minions and their presence.
    MinionsList,
    /// Ask which minions a target means, without running anything.
    TargetsGet,
    /// See what pillar a minion gets: secrets among it.
    PillarShow,
    /// Submit a job; its targets and functions are judged as well.
    JobsRun,
    /// List and show jobs that one submitted oneself.
    JobsOwn,
    /// List and show everybody's jobs.
    JobsAll,
    /// End a job; one's own, or anybody's with [`Verb::JobsAll`].
    JobsKill,
    /// Follow the event stream.
    Events,
    /// Act under another name, which only ever drops rights.
    ActAs,
    /// List and show server records and enrolment tokens.
    ServersList,
    /// Create, change, delete and import server records.
    ServersEdit,
    /// Say which minion is a server: pair, unpair, make a key and fetch its bundle, make and revoke
    /// enrolment tokens.
    ServersLink,
}

/// All verbs, for tables and tests.
pub const VERBS: [Verb; 17] = [
    Verb::Health,
    Verb::KeysList,
    Verb::KeysAct,
    Verb::KeysImport,
    Verb::MasterRotate,
    Verb::MinionsList,
    Verb::TargetsGet,
    Verb::PillarShow,
    Verb::JobsRun,
    Verb::JobsOwn,
    Verb::JobsAll,
    Verb::JobsKill,
    Verb::Events,
    Verb::ActAs,
    Verb::ServersList,
    Verb::ServersEdit,
    Verb::ServersLink,
];

/// What a principal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// May do everything: root, and the user the master runs as.
    Admin,
    /// May decide about keys and run what its entry lists.
    Operator,
    /// May look.
    Viewer,
}

/// All roles, for tables and tests.
pub const ROLES: [Role; 3] = [Role::Admin, Role::Operator, Role::Viewer];

/// Whether a role has a verb. What is not listed is denied.
#[must_use]
pub fn allows(role: Role, verb: Verb) -> bool {
    match role {
        Role::Admin => true,
        Role::Operator => matches!(
            verb,
            Verb::Health
                | Verb::KeysList
                | Verb::KeysAct
                | Verb::MinionsList
                | Verb::TargetsGet
                | Verb::JobsRun
                | Verb::JobsOwn
                | Verb::JobsKill
                | Verb::Events
                | Verb::ServersList
                | Verb::ServersEdit
                | Verb::ServersLink
        ),
        Role::Viewer => matches!(
            verb,
            Verb::Health
                | Verb::KeysList
                | Verb::MinionsList
                | Verb::TargetsGet
                | Verb::JobsOwn
                | Verb::JobsAll
                | Verb::Events
                | Verb::ServersList
        ),
    }
}
