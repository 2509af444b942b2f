//! `mount.*`: mounted file systems, as the kernel lists them, and mounted by the system's tools.

mod devices;
mod fstab;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value, json};

use self::devices::{Devices, Tags, tag};
use self::table::Mount;
use super::bind::Bound;
use super::file::{blocking, failed, read_text, take_path};
use super::fit::keep_first;
use super::tool::{Done, Tool};
use super::{Context, Fault, Function, Outcome, Parameter, keyword, optional, required, text_of};

/// What is mounted, as the minion sees it.
const MOUNTINFO: &str = "/proc/self/mountinfo";

const NAME: Parameter = required("name", "the mount point, an absolute path (text)");
const TIMEOUT: Parameter =
    keyword("timeout", "180", "when the tool is killed: a server may never answer (seconds)");

pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new("mount.active", |context, bound| Box::pin(active(context, bound)), "Returns what is mounted.")
            .takes(const {
                &[optional(
                    "extended",
                    "false",
                    "True adds mountid, parentid, major, minor, root, superopts, device_uuid and device_label (boolean)",
                )]
            })
            .returns(
                "{mount point: {alt_device, device, fstype, opts}}, texts but for `opts`, a list of texts; device_uuid \
                 and device_label are None where udev knows none",
            )
            .example("mount.active extended=True"),
        Function::new(
            "mount.is_mounted",
            |_, bound| Box::pin(is_mounted(bound)),
            "Tells whether something is mounted at a place.",
        )
        .takes(const { &[NAME] })
        .returns("boolean")
        .example("mount.is_mounted /srv"),
        Function::new(
            "mount.fstab",
            |context, bound| Box::pin(show_fstab(context, bound)),
            "Returns the entries of the file that says what is mounted at boot.",
        )
        .takes(const { &[optional("config", "\"/etc/fstab\"", "the file (text)")] })
        .returns(
            "{mount point: {device, fstype, opts, dump, pass}}, texts but for `opts`, a list of texts; a second entry \
             of the same place has `_` behind its name; an empty map when there is no such file",
        ),
        Function::new("mount.mount", |context, bound| Box::pin(mount(context, bound)), "Mounts a file system.")
            .takes(const {
                &[
                    NAME,
                    optional("device", "null", "what is mounted there; what fstab says when null (text)"),
                    optional("mkmnt", "false", "True makes the mount point when it is not there (boolean)"),
                    optional("fstype", "\"\"", "type of the file system; found out when empty (text)"),
                    optional("opts", "\"defaults\"", "the options (list, or text with commas)"),
                    TIMEOUT,
                ]
            })
            .returns("True; fails with what mount says, or when it was killed after `timeout`")
            .example("mount.mount /srv/data /dev/sdb1 True ext4 opts=noatime,nosuid"),
        Function::new("mount.umount", |context, bound| Box::pin(umount(context, bound)), "Takes a file system away.")
            .takes(const {
                &[
                    NAME,
                    optional("device", "null", "the device, to be named in place of the mount point (text)"),
                    TIMEOUT,
                ]
            })
            .returns("True; fails when nothing is mounted there, with what umount says, or when it was killed after `timeout`")
            .example("mount.umount /srv/data"),
    ]
}

async fn active(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let is_extended = bound.flag("extended")?;
    let shown = blocking(move |_| {
        let devices = Devices::new();
        let tags = is_extended.then(|| (devices.tags("uuid"), devices.tags("label")));
        let mut shown = Map::new();
        for mount in mounts()? {
            let name = devices.known_name(&mount);
            let entry = match &tags {
                Some((ids, labels)) => extended(&mount, &name, ids, labels),
                None => plain(&mount, &name),
            };
            shown.insert(mount.point, entry);
        }
        Ok(shown)
    })
    .await?;
    let mut value = Value::Object(shown);
    let truncated = keep_first(&mut value, context.output_max);
    Ok(Outcome { truncated, ..Outcome::from(value) })
}

fn mounts() -> Result<impl Iterator<Item = Mount>, Fault> {
    let text = read_text(Path::new(MOUNTINFO))?;
    Ok(table::read(&text).collect::<Vec<_>>().into_iter())
}

fn plain(mount: &Mount, known_name: &str) -> Value {
    json!({
        "alt_device": known_name,
        "device": mount.source,
        "fstype": mount.kind,
        "opts": mount.all_options(),
    })
}

/// As Salt has it: `opts` are those of the place alone here.
fn extended(mount: &Mount, known_name: &str, ids: &Tags, labels: &Tags) -> Value {
    json!({
        "mountid": mount.id,
        "parentid": mount.parent,
        "major": mount.major,
        "minor": mount.minor,
        "root": mount.root,
        "opts": mount.options,
        "fstype": mount.kind,
        "device": mount.source,
        "alt_device": known_name,
        "superopts": mount.super_options,
        "device_uuid": tag(ids, mount).map(str::to_lowercase),
        "device_label": tag(labels, mount),
    })
}

async fn is_mounted(mut bound: Bound) -> Result<Outcome, Fault> {
    let name = bound.text("name")?;
    Ok(Outcome::from(is_active(name).await?))
}

async fn is_active(name: String) -> Result<bool, Fault> {
    blocking(move |_| Ok(mounts()?.any(|mount| mount.point == bare(&name)))).await
}

/// A path as the kernel writes mount points.
fn bare(name: &str) -> &str {
    match name.trim_end_matches('/') {
        "" if name.starts_with('/') => "/",
        bare => bare,
    }
}

async fn show_fstab(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let config = take_path(&mut bound, "config")?;
    let mut value = blocking(move |_| {
        // What is no file has no entries, in Salt too.
        let text = if config.is_file() { read_text(&config)? } else { Vec::new() };
        Ok(Value::Object(fstab::read(&text)?))
    })
    .await?;
    let truncated = keep_first(&mut value, context.output_max);
    Ok(Outcome { truncated, ..Outcome::from(value) })
}

async fn mount(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let (name, device) = (point(&mut bound)?, maybe_word(&mut bound, "device")?);
    let is_made = bound.flag("mkmnt")?;
    let (kind, options) = (bound.text("fstype")?, options(&bound.value("opts"))?);
    let limit = limit(&mut bound)?;
    check_kind(&kind)?;
    if is_made {
        let folder = PathBuf::from(&name);
        let make = blocking(move |_| fs::create_dir_all(&folder).map_err(failed(&folder)));
        tokio::time::timeout(limit, make).await.map_err(|_| hung(&name))??;
    }
    let mut arguments = Vec::new();
    // Without a device the options are those of fstab, and these would be more of them.
    if !options.is_empty() && (device.is_some() || options != "defaults") {
        arguments.extend(["-o".to_owned(), options]);
    }
    if !kind.is_empty() {
        arguments.extend(["-t".to_owned(), kind]);
    }
    arguments.push("--".to_owned());
    arguments.extend(device);
    arguments.push(name.clone());
    run(&context, "mount", arguments, &name, limit).await
}

async fn umount(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let (name, device) = (word("name", bound.text("name")?)?, maybe_word(&mut bound, "device")?);
    let limit = limit(&mut bound)?;
    if !is_active(name.clone()).await? {
        let name = brine_local::text::escape(&name);
        return Err(Fault::Execution(format!("{name} does not have anything mounted")));
    }
    let what = device.unwrap_or_else(|| name.clone());
    run(&context, "umount", vec!["--".to_owned(), what], &name, limit).await
}

/// Runs a tool that says nothing when all is well.
async fn run(
    context: &Context,
    program: &str,
    arguments: Vec<String>,
    name: &str,
    limit: Duration,
) -> Result<Outcome, Fault> {
    let done = Tool::new(program, arguments).timeout(limit).run(context).await?;
    match done {
        Done { retcode: Some(0), .. } => Ok(Outcome::from(true)),
        Done { retcode: None, .. } => Err(killed(program, name, limit)),
        failed => Err(Fault::Execution(match failed.complaint() {
            "" => format!("{program} ended with {} and said nothing", failed.retcode.unwrap_or_default()),
            complaint => complaint.to_owned(),
        })),
    }
}

fn killed(program: &str, name: &str, limit: Duration) -> Fault {
    let name = brine_local::text::escape(name);
    Fault::Execution(format!(
        "{program} was killed after {} seconds: the kernel or a server does not answer about {name}; mount.is_mounted \
         tells what came of it",
        limit.as_secs_f64()
    ))
}

fn hung(name: &str) -> Fault {
    let name = brine_local::text::escape(name);
    Fault::Execution(format!(
        "{name} cannot be made: the file system it lies in does not answer; nothing was mounted"
    ))
}

/// The place to mount at. Tools look for relative ones in a folder of their own.
fn point(bound: &mut Bound) -> Result<String, Fault> {
    let name = word("name", bound.text("name")?)?;
    if !name.starts_with('/') {
        return Err(Fault::Invocation("'name' needs an absolute path".to_owned()));
    }
    Ok(name)
}

fn maybe_word(bound: &mut Bound, what: &str) -> Result<Option<String>, Fault> {
    let given = bound.maybe_text(what)?.filter(|text| !text.is_empty());
    given.map(|text| word(what, text)).transpose()
}

/// An argument of a tool. What it begins with is no matter: it stands behind `--`.
fn word(what: &str, text: String) -> Result<String, Fault> {
    if text.is_empty() || text.contains('\0') {
        return Err(Fault::Invocation(format!("'{what}' is empty or contains a NUL byte")));
    }
    Ok(text)
}

fn options(given: &Value) -> Result<String, Fault> {
    let options = match given {
        Value::Null => String::new(),
        Value::Array(list) => list.iter().map(text_of).collect::<Vec<_>>().join(","),
        Value::Object(_) => return Err(Fault::Invocation("'opts' needs a list or a text".to_owned())),
        one => text_of(one),
    };
    if options.contains(['\0', '\n']) {
        return Err(Fault::Invocation("'opts' cannot hold line ends and NUL bytes".to_owned()));
    }
    Ok(options)
}

/// The type is a part of the name of a program, which mount(8) may look for.
fn check_kind(kind: &str) -> Result<(), Fault> {
    let is_letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'+' | b',');
    if kind.bytes().all(is_letter) && !kind.starts_with(['-', '.']) {
        return Ok(());
    }
    let kind = brine_local::text::escape(kind);
    Err(Fault::Invocation(format!("'{kind}' is not a type of file systems; write it as ext4 or nfs")))
}

fn limit(bound: &mut Bound) -> Result<Duration, Fault> {
    let given = bound.seconds("timeout")?;
    let (limit, _) =
        given.ok_or_else(|| Fault::Invocation("'timeout' needs a number of seconds".to_owned()))?;
    Ok(limit)
}

#[cfg(test)]
mod tests;
