//! `archive.*`: archives, by the system's tools and, where they come from strangers, with bounds.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::bind::Bound;
use super::file::{Stop, blocking, expand, matching, path_text, take_path};
use super::tool::Tool;
use super::{Context, Fault, Function, Outcome, keyword, optional, required, text_of};

mod unzip;

/// A day: nothing that is packed here takes longer, and a tool that hangs is not left behind.
const LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new("archive.tar", |context, bound| Box::pin(tar(context, bound)), "Runs tar.")
            .takes(
                const {
                    &[
                        required("options", "what tar is to do, as czf, xvf or '-x -v -f' (text)"),
                        required("tarfile", "path of the archive (text)"),
                        optional(
                            "sources",
                            "null",
                            "files to pack or unpack, a list or separated by commas, with wildcards (text or list)",
                        ),
                        optional("dest", "null", "folder to unpack into (text)"),
                        optional("cwd", "null", "absolute folder to run in, '/' when not given (text)"),
                    ]
                },
            )
            .returns(
                "what tar said, in lines: with v the names of the files; the retcode is tar's. tar itself refuses \
                 names that lead out of the folder; how much it unpacks has no bound",
            )
            .example("archive.tar xvf /tmp/site.tar dest=/srv/www"),
        Function::new("archive.list", |context, bound| Box::pin(list(context, bound)), "Lists what is in an archive.")
            .takes(
                const {
                    &[
                        required("name", "path of a tar or zip archive on the minion (text)"),
                        optional("archive_format", "null", "tar or zip, told by the name when not given (text)"),
                    ]
                },
            )
            .returns("[path…] in order, folders end with '/'; fails for what is no such archive")
            .example("archive.list /tmp/site.tar.gz"),
        Function::new(
            "archive.gzip",
            |context, bound| Box::pin(compress(context, bound, "gzip", "sourcefile")),
            "Compresses a file with gzip, which takes its place under its name with .gz.",
        )
        .takes(
            const {
                &[
                    required("sourcefile", "path of the file (text)"),
                    keyword("options", "null", "an option of gzip, as -9 (text)"),
                ]
            },
        )
        .returns("what gzip said, in lines; the retcode is gzip's")
        .example("archive.gzip /tmp/big.log options=-9"),
        Function::new(
            "archive.gunzip",
            |context, bound| Box::pin(compress(context, bound, "gunzip", "gzipfile")),
            "Decompresses a file with gunzip, which takes its place under its name without .gz.",
        )
        .takes(
            const {
                &[
                    required("gzipfile", "path of the file (text)"),
                    keyword("options", "null", "an option of gunzip, as -k (text)"),
                ]
            },
        )
        .returns("what gunzip said, in lines; the retcode is gunzip's")
        .example("archive.gunzip /tmp/big.log.gz"),
        unzip::function(),
    ]
}

async fn tar(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let options = bound.text("options")?;
    let mut argv: Vec<String> = options.split_whitespace().map(str::to_owned).collect();
    if argv.is_empty() {
        return Err(Fault::Invocation("Tar options can not be empty".to_owned()));
    }
    argv.push(on_this_machine(path_text(&take_path(&mut bound, "tarfile")?)));
    let sources = names(&bound.value("sources"))?;
    let dest = bound.maybe_text("dest")?.map(expand);
    let cwd = PathBuf::from(bound.maybe_text("cwd")?.map_or_else(|| "/".to_owned(), expand));
    if !cwd.is_absolute() || !cwd.is_dir() {
        let why = format!("Specified cwd '{}' either not absolute or does not exist", cwd.display());
        return Err(Fault::Execution(why));
    }
    let folder = cwd.clone();
    argv.extend(blocking(move |stop| expanded(&sources, &folder, stop)).await?);
    if let Some(dest) = dest {
        argv.extend(["-C".to_owned(), dest]);
    }
    lines(Tool::new("tar", argv).cwd(&cwd), &context).await
}

/// tar takes what is before a colon for another machine, unless there is a slash before it.
fn on_this_machine(name: String) -> String {
    if name.contains(':') && !name.starts_with('/') { format!("./{name}") } else { name }
}

/// A list, or a text with commas.
fn names(given: &Value) -> Result<Vec<String>, Fault> {
    match given {
        Value::Null => Ok(Vec::new()),
        Value::Array(list) => Ok(list.iter().map(text_of).collect()),
        Value::Object(_) => Err(Fault::Invocation("a list of names is needed, not a map".to_owned())),
        text => Ok(text_of(text).split(',').map(|name| name.trim().to_owned()).collect()),
    }
}

/// The sources with their wildcards replaced by what is there.
fn expanded(sources: &[String], cwd: &Path, stop: &Stop) -> Result<Vec<String>, Fault> {
    let mut all = Vec::new();
    for source in sources {
        if !source.contains(['*', '?', '[']) {
            all.push(source.clone());
            continue;
        }
        for path in matching(&cwd.join(source), stop)? {
            let is_relative = !source.starts_with('/');
            let name = path.strip_prefix(cwd).ok().filter(|_| is_relative).unwrap_or(&path);
            let name = path_text(name);
            // A file whose name looks like an option must not become one.
            all.push(if name.starts_with('-') { format!("./{name}") } else { name });
        }
    }
    Ok(all)
}

async fn lines(tool: Tool, context: &Context) -> Result<Outcome, Fault> {
    let done = tool.timeout(LIMIT).run(context).await?;
    let said: Vec<&str> = done.stdout.lines().chain(done.stderr.lines()).collect();
    Ok(Outcome { retcode: done.retcode.unwrap_or(1), truncated: done.is_cut, ..Outcome::from(said) })
}

async fn compress(context: Context, mut bound: Bound, tool: &str, file: &str) -> Result<Outcome, Fault> {
    let path = take_path(&mut bound, file)?;
    let options = bound.maybe_text("options")?.filter(|options| !options.is_empty());
    let argv = options.into_iter().chain(["--".to_owned(), path_text(&path)]);
    lines(Tool::new(tool, argv), &context).await
}

async fn list(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let path = take_path(&mut bound, "name")?;
    let name = path_text(&path);
    let format = bound.maybe_text("archive_format")?.or_else(|| guess(&name).map(str::to_owned));
    let mut names = match format.as_deref() {
        Some("zip") => blocking(move |stop| unzip::list(&path, stop)).await?,
        Some("tar") => {
            let said = Tool::new("tar", ["-t".to_owned(), "-f".to_owned(), on_this_machine(name.clone())])
                .timeout(LIMIT);
            let done = said.run(&context).await?;
            if !done.is_ok() {
                let why = format!("Failed to list contents of {name}: {}", done.complaint());
                return Err(Fault::Execution(why));
            }
            done.stdout.lines().map(str::to_owned).collect()
        }
        Some(other) => return Err(Fault::Execution(format!("Unsupported archive format '{other}'"))),
        None => {
            let why = "Unable to guess archive format, please pass an 'archive_format' argument.";
            return Err(Fault::Execution(why.to_owned()));
        }
    };
    names.sort_unstable();
    Ok(Outcome::from(names))
}

fn guess(name: &str) -> Option<&'static str> {
    let is_tar = name.contains(".tar.")
        || [".tar", ".tgz", ".tbz", ".tbz2", ".txz"].iter().any(|end| name.ends_with(end));
    match name {
        _ if is_tar => Some("tar"),
        name if name.ends_with(".zip") => Some("zip"),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
