//! Numbers as `df` writes them.

use serde_json::{Value, json};

use super::super::Fault;
use super::mounts::Mount;
use super::room::Room;

/// How sizes are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Sizes {
    #[default]
    Kib,
    /// With a letter behind, in powers of this.
    Powers(u64),
}

/// What the letters ask for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Flags {
    pub(super) is_all: bool,
    pub(super) is_local: bool,
    sizes: Sizes,
}

impl Flags {
    /// Reads letters, with or without a dash before them.
    pub(super) fn read(letters: Option<&str>) -> Result<Self, Fault> {
        let mut flags = Self::default();
        for letter in letters.unwrap_or_default().chars() {
            match letter {
                'a' => flags.is_all = true,
                'l' => flags.is_local = true,
                'h' => flags.sizes = Sizes::Powers(1024),
                'H' => flags.sizes = Sizes::Powers(1000),
                'k' | 'P' | '-' | ' ' => {}
                other => {
                    let why = format!("'args' knows the letters a, l, h, H, k and P of df, not {other:?}");
                    return Err(Fault::Invocation(why));
                }
            }
        }
        Ok(flags)
    }
}

pub(super) fn usage(mount: &Mount, room: Option<&Room>, flags: Flags) -> Value {
    let size = |blocks: fn(&Room) -> u64| {
        room.map_or_else(dash, |room| {
            let bytes = u128::from(blocks(room)) * u128::from(room.unit);
            match flags.sizes {
                Sizes::Kib => bytes.div_ceil(1024).to_string(),
                Sizes::Powers(base) => human(bytes, base),
            }
        })
    };
    json!({
        "filesystem": mount.source,
        "1K-blocks": size(|room| room.blocks),
        "used": size(|room| room.blocks.saturating_sub(room.free)),
        "available": size(|room| room.available),
        "capacity": capacity(room),
    })
}

/// How full it is for everybody but root.
pub(super) fn capacity(room: Option<&Room>) -> String {
    room.map_or_else(dash, |room| {
        let used = room.blocks.saturating_sub(room.free);
        percentage(used, used.saturating_add(room.available))
    })
}

pub(super) fn inodes(mount: &Mount, room: Option<&Room>) -> Value {
    let count = |inodes: fn(&Room) -> u64| room.map_or_else(dash, |room| inodes(room).to_string());
    json!({
        "filesystem": mount.source,
        "inodes": count(|room| room.inodes),
        "used": count(used_inodes),
        "free": count(|room| room.inodes_free),
        "use": room.map_or_else(dash, |room| percentage(used_inodes(room), room.inodes)),
    })
}

fn used_inodes(room: &Room) -> u64 {
    room.inodes.saturating_sub(room.inodes_free)
}

fn dash() -> String {
    "-".to_owned()
}

/// Rounded up, so that 100% is full.
fn percentage(part: u64, whole: u64) -> String {
    if whole == 0 {
        return dash();
    }
    format!("{}%", (u128::from(part) * 100).div_ceil(u128::from(whole)))
}

/// At most three digits and a letter, rounded up; one digit behind the point below ten.
fn human(bytes: u128, base: u64) -> String {
    let base = u128::from(base);
    let letters =
        if base == 1000 { ["", "k", "M", "G", "T", "P", "E"] } else { ["", "K", "M", "G", "T", "P", "E"] };
    let mut unit = 1;
    for (at, letter) in letters.iter().enumerate() {
        let tenths = (bytes * 10).div_ceil(unit);
        if at > 0 && tenths < 100 {
            return format!("{}.{}{letter}", tenths / 10, tenths % 10);
        }
        let whole = bytes.div_ceil(unit);
        if whole < base || at + 1 == letters.len() {
            return if bytes == 0 { "0".to_owned() } else { format!("{whole}{letter}") };
        }
        unit *= base;
    }
    unreachable!("the last letter always fits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_df() {
        let read = |letters: &str| Flags::read(Some(letters));
        assert_eq!(Flags::read(None), Ok(Flags::default()));
        assert_eq!(read("-alh"), Ok(Flags { is_all: true, is_local: true, sizes: Sizes::Powers(1024) }));
        assert_eq!(read("kPH"), Ok(Flags { sizes: Sizes::Powers(1000), ..Flags::default() }));
        let why = "'args' knows the letters a, l, h, H, k and P of df, not 'i'".to_owned();
        assert_eq!(read("i"), Err(Fault::Invocation(why)));
    }

    #[test]
    fn sizes_for_people() {
        for (bytes, binary, decimal) in [
            (0, "0", "0"),
            (1, "1", "1"),
            (1000, "1000", "1.0k"),
            (1024, "1.0K", "1.1k"),
            (1025, "1.1K", "1.1k"),
            (10 * 1024, "10K", "11k"),
            (1023 * 1024, "1023K", "1.1M"),
            (1024 * 1024, "1.0M", "1.1M"),
            (9_999_999_999, "9.4G", "10G"),
            (u128::from(u64::MAX), "16E", "19E"),
        ] {
            assert_eq!(
                (human(bytes, 1024).as_str(), human(bytes, 1000).as_str()),
                (binary, decimal),
                "{bytes}"
            );
        }
    }

    fn mount() -> Mount {
        super::super::mounts::all().unwrap().swap_remove(0)
    }

    #[test]
    fn entries() {
        let room = Room { unit: 4096, blocks: 100, free: 40, available: 30, inodes: 10, inodes_free: 9 };
        let mount = Mount { source: "/dev/x".into(), ..mount() };
        let expected = json!({
            "filesystem": "/dev/x", "1K-blocks": "400", "used": "240", "available": "120", "capacity": "67%",
        });
        assert_eq!(usage(&mount, Some(&room), Flags::default()), expected);
        let expected =
            json!({"filesystem": "/dev/x", "inodes": "10", "used": "1", "free": "9", "use": "10%"});
        assert_eq!(inodes(&mount, Some(&room)), expected);
        let silent = json!({
            "filesystem": "/dev/x", "1K-blocks": "-", "used": "-", "available": "-", "capacity": "-",
        });
        assert_eq!(usage(&mount, None, Flags::default()), silent);
        let empty = Room { blocks: 0, free: 0, available: 0, inodes: 0, inodes_free: 0, ..room };
        assert_eq!(
            (capacity(Some(&empty)).as_str(), &inodes(&mount, Some(&empty))["use"]),
            ("-", &json!("-"))
        );
        let odd = Room { blocks: 1, free: 2, available: u64::MAX, ..room };
        assert_eq!(capacity(Some(&odd)), "0%");
    }
}
