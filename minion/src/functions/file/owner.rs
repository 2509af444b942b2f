//! Owner, group and mode.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, fchown, lchown};
use std::path::Path;

use nix::unistd::{Group, User, geteuid};
use serde_json::{Value, json};

use super::super::bind::Bound;
use super::super::{Fault, Function, Outcome, required, text_of};
use super::blocking::blocking;
use super::look::mode;
use super::path::{failed, take};

pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new(
            "file.chown",
            |_, bound| Box::pin(change(bound, true)),
            "Gives a file to another user and group.",
        )
        .takes(
            const {
                &[
                    required("path", "the file; links are followed (text)"),
                    required("user", "name or number, an empty text keeps it (text or integer)"),
                    required("group", "name or number, an empty text keeps it (text or integer)"),
                ]
            },
        )
        .returns("null; with the retcode 1, a text that says what does not exist")
        .example("file.chown /etc/passwd root root"),
        Function::new(
            "file.lchown",
            |_, bound| Box::pin(change(bound, false)),
            "Gives a file to another user and group; a link itself, not what it leads to.",
        )
        .takes(
            const {
                &[
                    required("path", "the file or link (text)"),
                    required("user", "name or number, an empty text keeps it (text or integer)"),
                    required("group", "name or number, an empty text keeps it (text or integer)"),
                ]
            },
        )
        .returns("null; with the retcode 1, a text that says what does not exist")
        .example("file.lchown /etc/localtime root root"),
        Function::new("file.chgrp", |_, bound| Box::pin(chgrp(bound)), "Gives a file to another group.")
            .takes(
                const {
                    &[
                        required("path", "the file; links are followed (text)"),
                        required("group", "name or number (text or integer)"),
                    ]
                },
            )
            .returns("null; with the retcode 1, a text that says what does not exist")
            .example("file.chgrp /etc/shadow shadow"),
        Function::new("file.set_mode", |_, bound| Box::pin(set_mode(bound)), "Sets the mode of a file.")
            .takes(
                const {
                    &[
                        required("path", "the file; links are followed (text)"),
                        required("mode", "octal digits, as 0644 (text or integer)"),
                    ]
                },
            )
            .returns("the mode it has now, as '0644' (text); with the retcode 1, 'Invalid Mode …'")
            .example("file.set_mode /etc/passwd 0644"),
    ]
}

/// Who is to own a file; none for a part that stays.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Owner {
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
}

impl Owner {
    /// Looks a user and a group up, by name or number; nothing and empty texts are none.
    ///
    /// # Errors
    /// Salt's words for what does not exist.
    pub(super) fn find(user: &Value, group: &Value) -> Result<Self, String> {
        let by_name = |name: &str| User::from_name(name).ok().flatten().map(|user| user.uid.as_raw());
        let uid = number(user, by_name);
        let by_name = |name: &str| Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw());
        let gid = number(group, by_name);
        match (uid, gid) {
            (Ok(uid), Ok(gid)) => Ok(Self { uid, gid }),
            (uid, gid) => {
                let missing =
                    |is_missing, text: &str| if is_missing { text.to_owned() } else { String::new() };
                let user = missing(uid.is_err(), "User does not exist\n");
                Err(user + &missing(gid.is_err(), "Group does not exist\n"))
            }
        }
    }

    pub(super) fn set(self, path: &Path) -> Result<(), Fault> {
        if self == Self::default() {
            return Ok(());
        }
        chown(path, self.uid, self.gid).map_err(failed(path))
    }

    /// As [`Self::set`] for an open file or folder; `path` is for what goes wrong.
    pub(super) fn set_open(self, file: &File, path: &Path) -> Result<(), Fault> {
        if self == Self::default() {
            return Ok(());
        }
        fchown(file, self.uid, self.gid).map_err(failed(path))
    }
}

fn number(given: &Value, by_name: impl Fn(&str) -> Option<u32>) -> Result<Option<u32>, ()> {
    match given {
        Value::Null => Ok(None),
        Value::Array(_) | Value::Object(_) => Err(()),
        scalar => match text_of(scalar) {
            name if name.is_empty() => Ok(None),
            // The largest number means "as it is" to the system.
            name => by_name(&name)
                .or_else(|| name.parse().ok().filter(|number| *number != u32::MAX))
                .map(Some)
                .ok_or(()),
        },
    }
}

async fn change(mut bound: Bound, is_followed: bool) -> Result<Outcome, Fault> {
    let (path, mut user, group) = (take(&mut bound, "path")?, bound.value("user"), bound.value("group"));
    if user.is_null() {
        user = json!(geteuid().as_raw());
    }
    blocking(move |_| give(&path, &user, &group, is_followed)).await
}

fn give(path: &Path, user: &Value, group: &Value, is_followed: bool) -> Result<Outcome, Fault> {
    let is_there = fs::symlink_metadata(path).is_ok();
    let owner =
        Owner::find(user, group).and_then(|owner| if is_there { Ok(owner) } else { Err(String::new()) });
    match owner {
        // A link to nothing is given away itself.
        Ok(Owner { uid, gid }) if !is_followed || !path.exists() => {
            lchown(path, uid, gid).map_err(failed(path))?;
            Ok(Outcome::from(Value::Null))
        }
        Ok(owner) => owner.set(path).map(|()| Outcome::from(Value::Null)),
        Err(why) => {
            let missing = if is_there { "" } else { "File not found" };
            Ok(Outcome { retcode: 1, ..Outcome::from(why + missing) })
        }
    }
}

async fn chgrp(mut bound: Bound) -> Result<Outcome, Fault> {
    let (path, group) = (take(&mut bound, "path")?, bound.value("group"));
    blocking(move |_| {
        let user = fs::metadata(&path).map_or(Value::Null, |found| json!(found.uid()));
        give(&path, &user, &group, true)
    })
    .await
}

/// A mode as people write it: octal digits, however they arrive.
pub(super) fn octal(given: &str) -> Option<u32> {
    let digits = given.trim().trim_start_matches(['0', 'o', 'O']);
    let digits = if digits.is_empty() { "0" } else { digits };
    u32::from_str_radix(digits, 8).ok().filter(|bits| *bits <= 0o7777)
}

async fn set_mode(mut bound: Bound) -> Result<Outcome, Fault> {
    let (path, given) = (take(&mut bound, "path")?, bound.text("mode")?);
    blocking(move |_| {
        if !path.exists() {
            return Err(Fault::Execution(format!("{}: File not found", path.display())));
        }
        let Some(bits) = octal(&given) else {
            let why = format!("Invalid Mode {}", given.trim_start_matches(['0', 'o', 'O']));
            return Ok(Outcome { retcode: 1, ..Outcome::from(why) });
        };
        fs::set_permissions(&path, Permissions::from_mode(bits)).map_err(failed(&path))?;
        Ok(Outcome::from(mode(&fs::metadata(&path).map_err(failed(&path))?)))
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::super::testing::{assert_shape, call, context, returned};
    use super::*;

    async fn run(function: &str, args: Value) -> (Value, i32) {
        let result = returned(&[call(function, args, json!({}))], &context()).await;
        if result.retcode == 0 {
            assert_shape(function, &result.value);
        }
        (result.value, result.retcode)
    }

    #[tokio::test]
    async fn modes_are_octal() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path();
        for (given, expected) in
            [(json!("0644"), "0644"), (json!(600), "0600"), (json!("0o4755"), "4755"), (json!(0), "0000")]
        {
            assert_eq!(run("file.set_mode", json!([path, given])).await, (json!(expected), 0));
            assert_eq!(mode(&fs::metadata(path).unwrap()), expected);
        }
        assert_eq!(run("file.set_mode", json!([path, "0999"])).await, (json!("Invalid Mode 999"), 1));
        assert_eq!(run("file.set_mode", json!([path, "77777"])).await, (json!("Invalid Mode 77777"), 1));
        let missing = run("file.set_mode", json!(["/no/such", "0644"])).await;
        assert_eq!(missing, (json!("ERROR: /no/such: File not found"), 1));
    }

    #[tokio::test]
    async fn owners_by_name_and_number() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "").unwrap();
        symlink("nowhere", &link).unwrap();
        // To itself, which every user may.
        let (uid, gid) = (geteuid().as_raw(), nix::unistd::getegid().as_raw());
        let name = User::from_uid(geteuid()).unwrap().unwrap().name;
        for (function, args) in [
            ("file.chown", json!([file, name, gid])),
            ("file.chown", json!([file, uid, ""])),
            ("file.chown", json!([link, uid, gid])),
            ("file.lchown", json!([link, name, gid.to_string()])),
            ("file.chgrp", json!([file, gid])),
        ] {
            assert_eq!(run(function, args.clone()).await, (Value::Null, 0), "{function} {args}");
        }
        if geteuid().is_root() {
            assert_eq!(run("file.chown", json!([file, 12, 34])).await, (Value::Null, 0));
            let found = fs::metadata(&file).unwrap();
            assert_eq!((found.uid(), found.gid()), (12, 34));
            assert_eq!(run("file.chgrp", json!([file, 56])).await, (Value::Null, 0));
            let found = fs::metadata(&file).unwrap();
            assert_eq!((found.uid(), found.gid()), (12, 56));
        }
        let both = "User does not exist\nGroup does not exist\n";
        assert_eq!(run("file.chown", json!([file, "nobody9", "nogroup9"])).await, (json!(both), 1));
        let all = format!("{both}File not found");
        assert_eq!(run("file.chown", json!(["/no/such", "nobody9", "nogroup9"])).await, (json!(all), 1));
        assert_eq!(run("file.chgrp", json!(["/no/such", gid])).await, (json!("File not found"), 1));
    }
}
