//! `sysctl.*`: kernel parameters, read and written where the kernel has them, in `/proc/sys`.
//!
//! **Invariant:** a name leads to a file below `/proc/sys` and nowhere else.

mod config;
mod kernel;
mod key;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value, json};

use self::kernel::Kernel;
use self::key::{Key, is_same};
use super::bind::Bound;
use super::file::{Place, blocking, expand, failed, put, read_text};
use super::fit::keep_first;
use super::{Context, Fault, Function, Outcome, Parameter, optional, required};

/// Where values are kept for the next boot.
const CONFIG: &str = "/etc/sysctl.d/99-brine.conf";

const NAME: Parameter = required(
    "name",
    "name of the parameter, with dots or slashes; where a part has a dot itself the other one separates: \
     net.ipv4.conf.eth0/100.rp_filter (text)",
);
const VALUE: Parameter = required("value", "its value, one line (text or number)");

pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new("sysctl.get", |_, bound| Box::pin(get(bound)), "Returns the value of a kernel parameter.")
            .takes(const { &[NAME] })
            .returns("text; fails when there is no such parameter, or it may not be read")
            .example("sysctl.get net.ipv4.ip_forward"),
        Function::new(
            "sysctl.assign",
            |_, bound| Box::pin(assign(bound)),
            "Gives a kernel parameter a value, until the next boot.",
        )
        .takes(const { &[NAME, VALUE] })
        .returns("{name: value}, both texts; fails with what the kernel says")
        .example("sysctl.assign net.ipv4.ip_forward 1"),
        Function::new(
            "sysctl.persist",
            |_, bound| Box::pin(persist(bound)),
            "Gives a kernel parameter a value, now and at each boot.",
        )
        .takes(
            const {
                &[
                    NAME,
                    VALUE,
                    optional("config", "null", "the file to keep it in; sysctl.default_config when null (text)"),
                ]
            },
        )
        .returns(
            "`Updated`, or `Already set` when both the file and the kernel have the value; fails with what the kernel \
             says, and the file is then as it was",
        )
        .example("sysctl.persist vm.swappiness 10"),
        Function::new(
            "sysctl.show",
            |context, bound| Box::pin(show(context, bound)),
            "Returns all kernel parameters that can be read, or those of a file.",
        )
        .takes(
            const {
                &[optional(
                    "config_file",
                    "false",
                    "a file as sysctl.d(5) has them; True for sysctl.default_config (text or boolean)",
                )]
            },
        )
        .returns("{name: value}, all texts; an empty list when the file is not there")
        .example("sysctl.show"),
        Function::new(
            "sysctl.default_config",
            |_, _| Box::pin(async { Ok(Outcome::from(CONFIG)) }),
            "Returns the path of the file that sysctl.persist writes to.",
        )
        .returns("text"),
    ]
}

async fn get(mut bound: Bound) -> Result<Outcome, Fault> {
    let key = Key::typed(&bound.text("name")?)?;
    blocking(move |_| Ok(Outcome::from(Kernel::new().read(&key)?))).await
}

async fn assign(mut bound: Bound) -> Result<Outcome, Fault> {
    let (key, value) = (Key::typed(&bound.text("name")?)?, value(&mut bound)?);
    blocking(move |_| assigned(&Kernel::new(), &key, &value)).await
}

fn assigned(kernel: &Kernel, key: &Key, value: &str) -> Result<Outcome, Fault> {
    kernel.write(key, value)?;
    Ok(Outcome::from(json!({ key.dotted(): value })))
}

async fn persist(mut bound: Bound) -> Result<Outcome, Fault> {
    let (key, value) = (Key::typed(&bound.text("name")?)?, value(&mut bound)?);
    let config = bound
        .maybe_text("config")?
        .map_or_else(|| Ok(PathBuf::from(CONFIG)), |path| absolute("config", path))?;
    blocking(move |_| persisted(&Kernel::new(), &key, &value, &config)).await
}

/// The kernel first: a value that it refuses would be refused at each boot.
fn persisted(kernel: &Kernel, key: &Key, value: &str, config: &Path) -> Result<Outcome, Fault> {
    // Two that read the same file and write it one after the other would lose a line.
    static WRITER: Mutex<()> = Mutex::new(());
    let _held = WRITER.lock().unwrap_or_else(PoisonError::into_inner);
    let new = config::set(&text(config)?.unwrap_or_default(), key, value);
    let is_live = kernel.read(key).is_ok_and(|now| is_same(&now, value));
    if is_live && new.is_none() {
        return Ok(Outcome::from("Already set"));
    }
    if !is_live {
        kernel.write(key, value)?;
    }
    if let Some(new) = new {
        write(config, &new).map_err(|fault| match fault {
            Fault::Execution(why) => {
                Fault::Execution(format!("{why}; the kernel has the value until the next boot"))
            }
            other => other,
        })?;
    }
    Ok(Outcome::from("Updated"))
}

fn write(config: &Path, text: &[u8]) -> Result<(), Fault> {
    let folder = config.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder).map_err(failed(folder))?;
    put(config, text, Place::Kept)
}

async fn show(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let file = match bound.value("config_file") {
        Value::Bool(false) | Value::Null => None,
        Value::Bool(true) => Some(PathBuf::from(CONFIG)),
        Value::String(path) => Some(absolute("config_file", path)?),
        _ => return Err(Fault::Invocation("'config_file' needs the path of a file".to_owned())),
    };
    let shown = blocking(move |stop| {
        let values: Vec<(String, String)> = match file {
            None => Kernel::new().all(stop)?.into_iter().map(|(key, value)| (key.dotted(), value)).collect(),
            Some(file) => match text(&file)? {
                Some(text) => config::values(&text).collect(),
                None => return Ok(None),
            },
        };
        Ok(Some(values.into_iter().map(|(key, value)| (key, json!(value))).collect::<Map<_, _>>()))
    })
    .await?;
    let mut value = shown.map_or_else(|| json!([]), Value::Object);
    let truncated = keep_first(&mut value, context.output_max);
    Ok(Outcome { truncated, ..Outcome::from(value) })
}

/// A file of parameters; none when it is not there.
fn text(path: &Path) -> Result<Option<Vec<u8>>, Fault> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        _ => read_text(path).map(Some),
    }
}

fn value(bound: &mut Bound) -> Result<String, Fault> {
    let value = bound.text("value")?;
    let value = value.trim();
    if value.contains(['\n', '\r', '\0']) {
        return Err(Fault::Invocation("'value' is one line of text".to_owned()));
    }
    Ok(value.to_owned())
}

fn absolute(what: &str, path: String) -> Result<PathBuf, Fault> {
    let path = PathBuf::from(expand(path));
    if !path.is_absolute() || path.as_os_str().as_encoded_bytes().contains(&0) {
        return Err(Fault::Invocation(format!("'{what}' needs an absolute path")));
    }
    Ok(path)
}

#[cfg(test)]
mod tests;
