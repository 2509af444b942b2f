//! `brine -h`: what is used most, on one screen. `brine --help` has all of it.

use std::io;

use clap::{Arg, Command, CommandFactory};

use super::RunLine;

const WHOM: &str = "Whom, when it is not a glob over ids";
const HOW: &str = "How";

/// The options that most command lines have one of, by the names of their fields: where they stand
/// here, and what they are in one line.
const MOST_USED: [(&str, &str, &str); 13] = [
    ("list", WHOM, "Ids with commas: -L web1,web2"),
    ("pcre", WHOM, "A regular expression: -E 'web[0-9]+$'"),
    ("grain", WHOM, "A grain and a glob over its value: -G 'os:Deb*'"),
    ("compound", WHOM, "Terms with and, or, not: -C 'G@os:Debian and not web1'"),
    ("preview_target", WHOM, "Name whom the target means, and run nothing"),
    ("timeout", HOW, "Silence after which minions are asked what goes on"),
    ("is_async", HOW, "Print the job's id and do not wait"),
    ("is_static", HOW, "One document with all returns, at the end"),
    ("out", HOW, "nested, json, yaml, txt, table, raw, quiet, ..."),
    ("batch", HOW, "So many at a time, or a part: -b 10, -b 25%"),
    ("queue", HOW, "Who is away gets the order when it is back"),
    ("doc", HOW, "Say what functions do, and run nothing: -d test.ping"),
    ("root_dir", HOW, "Look for everything under this folder instead of /"),
];

const END: &str = "\
Examples:
  brine '*' test.ping
  brine -G os:Debian cmd.run 'uname -r' -b 25%
  brine jobs last

Nouns: jobs, minions, target, server, token, pillar, events, completion,
doctor, key, tui; brine NOUN --help tells about each.

brine --help has all options, more examples and the exit codes.";

/// Whether a command line that asks for help asks for all of it.
pub(in crate::cli) fn asks_for_all(line: &[String]) -> bool {
    line.iter().take_while(|word| *word != "--").any(|word| word == "--help")
}

/// Prints the screen.
///
/// # Errors
/// Nobody reads it.
pub(in crate::cli) fn print() -> io::Result<()> {
    command().print_help()
}

fn command() -> Command {
    let briefly = |arg: Arg| match MOST_USED.iter().find(|(id, ..)| arg.get_id() == id) {
        None => arg.hide(true),
        Some((_, heading, help)) => arg.help(*help).help_heading(*heading),
    };
    RunLine::command().mut_args(briefly).after_help(END)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_one_screen() {
        let help = command().term_width(80).render_help().to_string();
        assert!(help.lines().count() <= 40, "{} lines\n{help}", help.lines().count());
        for line in help.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
        assert!(help.contains("brine --help has all options"), "{help}");
    }

    #[test]
    fn what_is_used_most_is_there() {
        let all = RunLine::command();
        for (id, ..) in MOST_USED {
            let arg = all.get_arguments().find(|arg| arg.get_id() == id);
            assert!(arg.is_some_and(|arg| !arg.is_hide_set()), "{id} is an option");
        }
        let all = all.clone().render_help().to_string();
        let brief = command().render_help().to_string();
        assert!(brief.contains("--compound") && !brief.contains("--args-stdin"), "{brief}");
        assert!(all.contains("--compound") && all.contains("--args-stdin"), "{all}");
    }

    #[test]
    fn every_noun_is_named() {
        for (noun, ..) in super::super::NOUNS.iter().filter(|(noun, ..)| *noun != "man") {
            assert!(END.split(|c: char| !c.is_alphanumeric()).any(|word| word == *noun), "{noun}");
        }
    }

    #[test]
    fn which_of_the_two_is_meant() {
        for (line, expected) in [
            ("brine -h", false),
            ("brine --help", true),
            ("brine -t 5 --help", true),
            ("brine -h -- --help", false),
        ] {
            let line: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(asks_for_all(&line), expected, "{line:?}");
        }
    }
}
