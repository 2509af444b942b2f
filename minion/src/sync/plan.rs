//! What has to be done so that the modules here are those of the master. Pure.

use std::collections::BTreeMap;

use brine_protocol::modules::{Digest, FileName, Listed, Modules};

use super::said;

/// Which content of a file came from the master: of one that is about to be replaced, both.
pub(super) type Origins = BTreeMap<FileName, Vec<Digest>>;

/// What is under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// A file of this content.
    File(Digest),
    /// Something else: a link, or a file that is too large for a module.
    Other,
}

/// What is here.
#[derive(Debug, Default)]
pub(super) struct Here {
    /// Under each name that a module may have.
    pub(super) files: BTreeMap<FileName, Found>,
    /// What came from the master.
    pub(super) origins: Origins,
}

impl Here {
    /// The content of a file that came from the master and is still as it came.
    fn own(&self, name: &FileName) -> Option<Digest> {
        match (self.files.get(name)?, self.origins.get(name)) {
            (Found::File(digest), Some(known)) if known.contains(digest) => Some(*digest),
            _ => None,
        }
    }
}

/// A module to be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fetch {
    pub(super) name: FileName,
    pub(super) listed: Listed,
    /// Another file of the master's that it takes the place of: the same module under another
    /// extension.
    pub(super) over: Option<FileName>,
    /// What it replaces, as it was seen.
    pub(super) seen: Option<Digest>,
}

/// What is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) fetch: Vec<Fetch>,
    /// Files that the master no longer has.
    pub(super) remove: Vec<(FileName, Digest)>,
    /// What is not done, one sentence each.
    pub(super) notices: Vec<String>,
    /// What came from the master, when some of it is done or all.
    pub(super) origins: Origins,
}

pub(super) fn plan(listed: &Modules, here: &Here, is_builtin: impl Fn(&str) -> bool) -> Plan {
    let mut plan = Plan::default();
    for refused in &listed.refused {
        plan.notices.push(said(&refused.name, format!("not handed out by the master: {}", refused.why)));
    }
    for name in here.origins.keys() {
        if let Some(digest) = here.own(name) {
            plan.origins.insert(name.clone(), vec![digest]);
        }
    }
    let is_refused = |name: &FileName| listed.refused.iter().any(|refused| refused.name == name.as_str());
    for (name, file) in &listed.files {
        match judge(name, file, listed, here, &is_builtin) {
            Ok(None) => {}
            Ok(Some(fetch)) => {
                for place in [Some(name), fetch.over.as_ref()].into_iter().flatten() {
                    plan.origins.entry(place.clone()).or_default().push(file.sha256);
                }
                plan.fetch.push(fetch);
            }
            Err(why) => plan.notices.push(said(name, why)),
        }
    }
    let replaced = |name: &FileName| plan.fetch.iter().any(|fetch| fetch.over.as_ref() == Some(name));
    let gone = here.origins.keys().filter(|name| !listed.files.contains_key(*name));
    plan.remove = gone
        .filter(|name| !is_refused(name) && !replaced(name))
        .filter_map(|name| Some((name.clone(), here.own(name)?)))
        .collect();
    plan
}

/// Whether a listed file has to be fetched.
fn judge(
    name: &FileName,
    file: &Listed,
    listed: &Modules,
    here: &Here,
    is_builtin: impl Fn(&str) -> bool,
) -> Result<Option<Fetch>, String> {
    let same_module = |other: &&FileName| other.module() == name.module() && *other != name;
    if is_builtin(name.module()) {
        return Err(format!(
            "the minion has a module {} of its own; give the file another name on the master",
            name.module()
        ));
    }
    if listed.files.keys().any(|other| same_module(&other)) {
        return Err(format!("the master lists several files that are called {}", name.module()));
    }
    let fetch = |over, seen| Ok(Some(Fetch { name: name.clone(), listed: *file, over, seen }));
    match (here.files.get(name), here.own(name)) {
        (Some(Found::File(digest)), _) if *digest == file.sha256 => Ok(None),
        (Some(_), Some(own)) => fetch(None, Some(own)),
        (Some(_), None) => Err(
            "another file of this name is here that did not come from the master, or was changed since; left as it \
             is: take it away, or give the master's another name"
                .to_owned(),
        ),
        (None, _) => match here.files.keys().find(same_module) {
            None => fetch(None, None),
            Some(other) => match here.own(other) {
                Some(own) => fetch(Some(other.clone()), Some(own)),
                None => Err(format!(
                    "{other} is here, which is the same module and did not come from the master; left as it is"
                )),
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use brine_protocol::modules::Refused;

    use super::*;

    fn name(text: &str) -> FileName {
        text.parse().unwrap()
    }

    fn digest(byte: u8) -> Digest {
        Digest([byte; 32])
    }

    fn listed(files: &[(&str, u8)]) -> Modules {
        let listed = |byte| Listed { sha256: digest(byte), size: 1 };
        let files = files.iter().map(|(file, byte)| (name(file), listed(*byte))).collect();
        Modules { files, ..Modules::default() }
    }

    fn here(files: &[(&str, u8)], origins: &[(&str, &[u8])]) -> Here {
        Here {
            files: files.iter().map(|(file, byte)| (name(file), Found::File(digest(*byte)))).collect(),
            origins: origins
                .iter()
                .map(|(file, known)| (name(file), known.iter().map(|byte| digest(*byte)).collect()))
                .collect(),
        }
    }

    /// What is fetched, removed, and noticed by name.
    #[track_caller]
    fn check(listed: &Modules, here: &Here, fetched: &[&str], removed: &[&str], noticed: &[&str]) -> Plan {
        let plan = plan(listed, here, |module| module == "test");
        let fetch: Vec<&str> = plan.fetch.iter().map(|fetch| fetch.name.as_str()).collect();
        let remove: Vec<&str> = plan.remove.iter().map(|(name, _)| name.as_str()).collect();
        let notices: Vec<&str> = plan.notices.iter().filter_map(|notice| notice.split(':').next()).collect();
        assert_eq!((&fetch[..], &remove[..], &notices[..]), (fetched, removed, noticed), "{plan:?}");
        plan
    }

    #[test]
    fn what_differs_is_fetched_and_what_is_gone_removed() {
        let own = here(&[("a.sh", 1), ("b", 2), ("c", 3)], &[("a.sh", &[1]), ("b", &[2]), ("c", &[3])]);
        let plan = check(&listed(&[("a.sh", 1), ("b", 9), ("new", 4)]), &own, &["b", "new"], &["c"], &[]);
        assert_eq!(plan.origins[&name("b")], [digest(2), digest(9)], "either, until it is done");
        assert_eq!(plan.origins[&name("c")], [digest(3)]);
        assert_eq!(plan.origins[&name("new")], [digest(4)]);
        check(&listed(&[]), &Here::default(), &[], &[], &[]);
        check(&listed(&[]), &own, &[], &["a.sh", "b", "c"], &[]);
    }

    #[test]
    fn what_did_not_come_from_the_master_stays() {
        let hand = here(&[("a.sh", 1), ("b", 2)], &[]);
        check(&listed(&[]), &hand, &[], &[], &[]);
        check(&listed(&[("a.sh", 9)]), &hand, &[], &[], &["a.sh"]);
        check(&listed(&[("a.py", 9)]), &hand, &[], &[], &["a.py"]);
        check(&listed(&[("a.sh", 1)]), &hand, &[], &[], &[]);
        // Changed by hand since it came: it is neither replaced nor removed.
        let changed = here(&[("a.sh", 7)], &[("a.sh", &[1])]);
        let plan = check(&listed(&[("a.sh", 9)]), &changed, &[], &[], &["a.sh"]);
        assert_eq!(plan.origins, Origins::new());
        check(&listed(&[]), &changed, &[], &[], &[]);
        let mut link = here(&[], &[("a.sh", &[1])]);
        link.files.insert(name("a.sh"), Found::Other);
        check(&listed(&[("a.sh", 1)]), &link, &[], &[], &["a.sh"]);
        check(&listed(&[]), &link, &[], &[], &[]);
    }

    #[test]
    fn after_a_crash_either_content_is_the_masters() {
        for present in [1, 2] {
            let crashed = here(&[("a", present)], &[("a", &[1, 2])]);
            check(&listed(&[("a", 3)]), &crashed, &["a"], &[], &[]);
            let plan = check(&listed(&[]), &crashed, &[], &["a"], &[]);
            assert_eq!(plan.remove, [(name("a"), digest(present))]);
        }
        // It was remembered and not put in place; meanwhile somebody else has put a file there.
        check(&listed(&[("a", 2)]), &here(&[("a", 7)], &[("a", &[2])]), &[], &[], &["a"]);
    }

    #[test]
    fn another_extension_is_the_same_module() {
        let own = here(&[("a.sh", 1)], &[("a.sh", &[1])]);
        let plan = check(&listed(&[("a.py", 2)]), &own, &["a.py"], &[], &[]);
        assert_eq!((plan.fetch[0].over.clone(), plan.fetch[0].seen), (Some(name("a.sh")), Some(digest(1))));
        assert_eq!(plan.origins[&name("a.sh")], [digest(1), digest(2)]);
        assert_eq!(plan.origins[&name("a.py")], [digest(2)]);
    }

    #[test]
    fn what_the_master_may_not_hand_out_is_named_and_kept() {
        let own = here(&[("a", 1)], &[("a", &[1])]);
        let refused = |name: &str| Refused { name: name.to_owned(), why: "it is too large".to_owned() };
        let mut list = listed(&[("test.sh", 1), ("b.py", 1), ("b.sh", 1)]);
        list.refused = vec![refused("a"), refused("\x1b[1mx")];
        let plan = check(&list, &own, &[], &[], &["a", "\\u{1b}[1mx", "b.py", "b.sh", "test.sh"]);
        assert_eq!(plan.notices[0], "a: not handed out by the master: it is too large");
        assert!(plan.notices[4].contains("of its own"));
    }
}
