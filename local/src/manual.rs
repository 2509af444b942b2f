//! `PROGRAM man --to DIR`: manual pages out of the same words as `--help`, for who packs the programs.

use std::io;
use std::path::{Path, PathBuf};

use clap::{Arg, Args, Command};
use clap_mangen::Man;

/// Where a page goes on with what stands behind the options in the help.
const EXTRA: &str = "\n.SH EXTRA\n";

/// Where manual pages go.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Pages {
    /// The folder to write them into; it is made if it is not there.
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
}

/// Why there are no pages.
#[derive(Debug, thiserror::Error)]
#[error("cannot write manual pages into {}: {why}", .folder.display())]
pub struct PagesError {
    folder: PathBuf,
    why: io::Error,
}

impl Pages {
    /// Writes a page for each command and one for each of its sub-commands. Gives the sentence that says
    /// where they are, by the page of the first.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn write(&self, commands: impl IntoIterator<Item = Command>) -> Result<String, PagesError> {
        let folder = self.to.as_path();
        try_write(commands, folder)
            .map(|first| {
                let folder = folder.display();
                format!("manual pages are in {folder}; look at one with: man -l {folder}/{first}.1\n")
            })
            .map_err(|why| PagesError { folder: folder.to_owned(), why })
    }
}

fn try_write(commands: impl IntoIterator<Item = Command>, folder: &Path) -> io::Result<String> {
    std::fs::create_dir_all(folder)?;
    let mut first = None;
    for command in commands {
        first.get_or_insert_with(|| command.get_name().to_owned());
        let mut command = with_aliases(command).disable_help_subcommand(true);
        command.build();
        write_one(&command, folder)?;
    }
    Ok(first.unwrap_or_default())
}

/// The command with the other names of its options in their texts, where help tells of them too.
fn with_aliases(command: Command) -> Command {
    let told = |arg: Arg| {
        let names: Vec<String> =
            arg.get_visible_aliases().unwrap_or_default().iter().map(|name| format!("--{name}")).collect();
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        match names.is_empty() {
            true => arg,
            false => arg.help(format!("{help} [alias: {}]", names.join(", "))),
        }
    };
    command.mut_args(told).mut_subcommands(with_aliases)
}

fn write_one(command: &Command, folder: &Path) -> io::Result<()> {
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        write_one(below, folder)?;
    }
    let page = Man::new(command.clone());
    let mut text = Vec::new();
    page.render(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    std::fs::write(folder.join(page.get_filename()), as_written(&text))
}

/// The page with its examples in the lines that they were written in, where a page's text is filled.
fn as_written(page: &str) -> String {
    let Some((before, rest)) = page.split_once(EXTRA) else { return page.to_owned() };
    let (examples, after) = rest.split_at(rest.find("\n.SH ").map_or(rest.len(), |at| at + 1));
    format!("{before}{EXTRA}.nf\n{}\n.fi\n{after}", examples.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_for_each_command() {
        let scratch = tempfile::tempdir().expect("a folder");
        let pages = Pages { to: scratch.path().join("man/man1") };
        let command = Command::new("brine-x")
            .about("Does it")
            .version("1")
            .after_help("Examples:\n  brine-x       as it is\n\n  brine-x watch")
            .subcommand(
                Command::new("watch")
                    .about("Follow")
                    .arg(Arg::new("out").long("out").visible_alias("output").help("How to show")),
            )
            .subcommand(Command::new("man").hide(true));
        let said = pages.write([command]).expect("a folder that can be written");
        assert!(said.contains("man1/brine-x.1"), "{said}");
        let mut written: Vec<_> = std::fs::read_dir(&pages.to)
            .expect("it was made")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("a text"))
            .collect();
        written.sort();
        assert_eq!(written, ["brine-x-watch.1", "brine-x.1"]);
        let page = std::fs::read_to_string(pages.to.join("brine-x-watch.1")).expect("a page");
        assert!(page.contains("How to show [alias: \\-\\-output]"), "{page}");
        let page = std::fs::read_to_string(pages.to.join("brine-x.1")).expect("a page");
        let (_, examples) = page.split_once(".nf\n").expect("lines as they were written");
        let (examples, after) = examples.split_once("\n.fi\n").expect("and filled ones after them");
        assert!(examples.contains("  brine\\-x       as it is"), "{examples}");
        assert!(!examples.contains(".SH") && after.starts_with(".SH VERSION"), "{page}");
    }

    #[test]
    fn a_file_is_no_folder() {
        let scratch = tempfile::tempdir().expect("a folder");
        let to = scratch.path().join("file");
        std::fs::write(&to, "").expect("a file");
        let refused = Pages { to }.write([Command::new("brine-x")]).expect_err("no folder").to_string();
        assert!(refused.contains("cannot write manual pages into"), "{refused}");
    }
}
