//! Options about what goes in and what comes out: how words become arguments, and where returns go.

use std::path::PathBuf;

use brine_local::arguments::Reading;
use brine_local::output::Style;
use brine_local::output::screen::Screen;
use clap::Args;

use super::{Common, SHOWN};
use crate::cli::failure::Failure;

/// Where help lists what becomes of words.
const WORDS: &str = "What goes in";

/// How words become arguments.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Words {
    /// Keyword arguments whose values are text whatever they look like.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', help_heading = WORDS)]
    pub(in crate::cli) no_parse: Vec<String>,
    /// What stands between the arguments of several functions.
    #[arg(long, value_name = "TEXT", default_value = ",", help_heading = WORDS)]
    pub(in crate::cli) args_separator: String,
    /// Read more options and words from the standard input, one a line: they do not show in ps.
    #[arg(long, help_heading = WORDS)]
    pub(in crate::cli) args_stdin: bool,
}

impl Words {
    pub(in crate::cli) fn reading(&self) -> Reading<'_> {
        Reading { unparsed: &self.no_parse, separator: &self.args_separator }
    }
}

/// Whether the standard input has more of this command line.
pub(in crate::cli) fn goes_on_in_stdin(line: &[String]) -> bool {
    line.iter().take_while(|word| *word != "--").any(|word| word == "--args-stdin")
}

/// Where returns go.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Place {
    /// Write returns to this file, as they arrive. What is in it is replaced.
    #[arg(long, visible_alias = "output-file", value_name = "FILE", help_heading = SHOWN)]
    out_file: Option<PathBuf>,
    /// Add to that file instead.
    #[arg(long, visible_alias = "output-file-append", requires = "out_file", help_heading = SHOWN)]
    out_file_append: bool,
}

impl Place {
    /// Opens it, before anything is done.
    pub(in crate::cli) fn open(&self) -> Result<Screen, Failure> {
        Ok(Screen::open(self.out_file.as_deref(), self.out_file_append)?)
    }

    /// How returns look there: a file is no terminal, wherever stdout goes.
    pub(in crate::cli) fn style(&self, common: &Common) -> Style {
        let colours = match self.out_file {
            None => common.style().colours,
            Some(_) => common.force_color && !common.no_color,
        };
        Style { colours, ..common.style() }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::options::RunLine;

    fn parse(line: &str) -> Result<RunLine, clap::Error> {
        RunLine::try_parse_from(std::iter::once("brine").chain(line.split_whitespace()))
    }

    #[test]
    fn more_of_the_line_in_stdin() {
        for (line, expected) in [
            ("brine --args-stdin", true),
            ("brine web1 test.echo --args-stdin", true),
            ("brine web1 test.echo -- --args-stdin", false),
            ("brine web1 test.echo", false),
        ] {
            let line: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(goes_on_in_stdin(&line), expected, "{line:?}");
        }
    }

    #[test]
    fn words_and_places() {
        let line =
            parse("web1 a.b,c.d x --no-parse=x,y --args-separator / --output-file /tmp/x").expect("a line");
        assert_eq!(
            line.running.words.reading(),
            Reading { unparsed: &["x".into(), "y".into()], separator: "/" }
        );
        assert_eq!(line.running.place.out_file, Some("/tmp/x".into()));
        assert_eq!(parse("web1 a.b").expect("a line").running.words.reading(), Reading::default());
        let refused = parse("web1 a.b --out-file-append").expect_err("append to what?");
        assert!(refused.to_string().contains("--out-file <FILE>"), "{refused}");
    }

    #[test]
    fn files_are_coloured_only_by_force() {
        let colours = |line: &str| {
            let line = parse(line).expect("a line");
            line.running.place.style(&line.common).colours
        };
        assert!(colours("web1 a.b --force-color"));
        assert!(colours("web1 a.b --force-color --out-file x"));
        assert!(!colours("web1 a.b --out-file x"));
        assert!(!colours("web1 a.b --force-color --no-color --out-file x"));
    }
}
