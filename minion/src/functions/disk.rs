//! `disk.*`: file systems and how full they are.
//!
//! What `df` tells, without running it: the kernel is asked about each file system on a thread of
//! its own, so that one whose server is gone holds up nothing (`room`).

mod mounts;
mod room;
mod show;

use serde_json::{Map, Value};

use self::mounts::Mount;
pub(super) use self::mounts::all as all_mounts;
pub(super) use self::room::{Room, ask};
use self::show::{Flags, capacity, inodes, usage};
use super::bind::Bound;
use super::fit::keep_first;
use super::{Context, Fault, Function, Outcome, optional};

pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new(
            "disk.usage",
            |context, bound| Box::pin(list(context, bound, Table::Usage)),
            "Returns how much room each mounted file system has.",
        )
        .takes(const { &[optional("args", "null", FLAGS)] })
        .returns(
            "{mount point: {filesystem, 1K-blocks, used, available, capacity}}, all texts; the sizes are KiB, or as \
             the letters say, and the capacity is a percentage. A file system that does not answer within ten \
             seconds, as one whose server is gone, has `-` everywhere. An error for another letter",
        )
        .example("disk.usage args=h"),
        Function::new(
            "disk.inodeusage",
            |context, bound| Box::pin(list(context, bound, Table::Inodes)),
            "Returns how many inodes each mounted file system has.",
        )
        .takes(const { &[optional("args", "null", FLAGS)] })
        .returns(
            "{mount point: {filesystem, inodes, used, free, use}}, all texts; `use` is a percentage, or `-` for a \
             file system that does not count inodes or does not answer within ten seconds",
        ),
        Function::new(
            "disk.percent",
            |context, bound| Box::pin(percent(context, bound)),
            "Returns how full each mounted file system is, or one of them.",
        )
        .takes(const { &[optional("args", "null", "a mount point; all when null (text)")] })
        .returns(
            "{mount point: percentage as text}, or the text alone; an error when nothing is mounted at that place",
        )
        .example("disk.percent /var"),
    ]
}

const FLAGS: &str = "letters of df: a (also those without room), l (no network), h or H (sizes in powers of 1024 or \
                     1000, with a letter behind), k and P (as without) (text)";

#[derive(Debug, Clone, Copy)]
enum Table {
    Usage,
    Inodes,
}

async fn list(context: Context, mut bound: Bound, table: Table) -> Result<Outcome, Fault> {
    let flags = Flags::read(bound.maybe_text("args")?.as_deref())?;
    let mut shown = Map::new();
    for (mount, room) in rooms(flags).await? {
        let entry = match table {
            Table::Usage => usage(&mount, room.as_ref(), flags),
            Table::Inodes => inodes(&mount, room.as_ref()),
        };
        shown.insert(mount.point, entry);
    }
    let mut value = Value::Object(shown);
    let truncated = keep_first(&mut value, context.output_max);
    Ok(Outcome { truncated, ..Outcome::from(value) })
}

async fn percent(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let wanted = bound.maybe_text("args")?;
    let mut shown = Map::new();
    for (mount, room) in rooms(Flags::default()).await? {
        shown.insert(mount.point, Value::from(capacity(room.as_ref())));
    }
    if let Some(point) = wanted {
        return shown
            .remove(&point)
            .map(Outcome::from)
            .ok_or_else(|| Fault::Execution(format!("no file system is mounted at {point:?}")));
    }
    let mut value = Value::Object(shown);
    let truncated = keep_first(&mut value, context.output_max);
    Ok(Outcome { truncated, ..Outcome::from(value) })
}

/// The mounts that `df` would list, and what they say; none for those that do not answer.
async fn rooms(flags: Flags) -> Result<Vec<(Mount, Option<Room>)>, Fault> {
    let mut mounts = all_mounts()?;
    if flags.is_local {
        mounts.retain(|mount| !mount.is_remote);
    }
    if !flags.is_all {
        mounts = mounts::without_doubles(mounts);
    }
    let points = mounts.iter().map(|mount| (mount.point.clone(), mount.is_remote)).collect();
    let mut answers = ask(points).await;
    let answered = mounts.into_iter().filter_map(|mount| match answers.remove(&mount.point) {
        Some(Ok(room)) => (flags.is_all || room.blocks > 0).then_some((mount, Some(room))),
        // Not to be looked into, or just unmounted.
        Some(Err(_)) => None,
        None => Some((mount, None)),
    });
    Ok(answered.collect())
}

#[cfg(test)]
mod tests;
