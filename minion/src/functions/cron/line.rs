//! What a line of a table says: as cron reads it, and as Salt writes it.

/// What ends the part that is nobody's but people's, and begins ours.
const MARKER: &str = "# Lines below here are managed by Brine, do not edit";
const SALTS_MARKER: &str = "# Lines below here are managed by Salt, do not edit";

/// Stands before the identifier of a job, in its comment.
const TAG: &str = "BRINE_CRON_IDENTIFIER";
const SALTS_TAG: &str = "SALT_CRON_IDENTIFIER";

/// Stands before a job that is switched off.
const DISABLED: &str = "#DISABLED#";

/// Who manages a table: its marker and its tag are written, both are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manager {
    Brine,
    Salt,
}

impl Manager {
    pub(super) fn marker(self) -> &'static str {
        match self {
            Manager::Brine => MARKER,
            Manager::Salt => SALTS_MARKER,
        }
    }

    fn tag(self) -> &'static str {
        match self {
            Manager::Brine => TAG,
            Manager::Salt => SALTS_TAG,
        }
    }
}

/// When a job runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum When {
    /// Minute, hour, day of the month, month and day of the week.
    Times([String; 5]),
    /// `@daily` and the like.
    Special(String),
}

impl When {
    pub(super) fn is_special(&self) -> bool {
        matches!(self, When::Special(_))
    }
}

/// The line of a job, without its comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) when: When,
    pub(super) cmd: String,
    pub(super) is_disabled: bool,
}

/// What a line below the marker is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Marker(Manager),
    Comment,
    Variable {
        name: String,
        value: String,
    },
    Job(Job),
    /// Nothing that is known here. It stays as it is.
    Other,
}

fn is_blank(c: char) -> bool {
    c == ' ' || c == '\t'
}

pub(super) fn marker(line: &str) -> Option<Manager> {
    [Manager::Brine, Manager::Salt].into_iter().find(|manager| manager.marker() == line)
}

/// Reads a line, which has no line end any more.
pub(super) fn read(line: &str) -> Line {
    if let Some(manager) = marker(line) {
        return Line::Marker(manager);
    }
    if let Some(behind) = line.strip_prefix(DISABLED) {
        return job(behind, true).map_or(Line::Other, Line::Job);
    }
    if line.trim_start_matches(is_blank).starts_with('#') {
        return Line::Comment;
    }
    if let Some((name, value)) = variable(line) {
        return Line::Variable { name: name.to_owned(), value: value.to_owned() };
    }
    job(line, false).map_or(Line::Other, Line::Job)
}

/// Cron allows blanks on both sides of the sign.
fn variable(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once('=')?;
    let name = name.trim_matches(is_blank);
    is_variable(name).then(|| (name, value.trim_start_matches(is_blank)))
}

pub(super) fn is_variable(name: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(is_letter)
}

fn job(line: &str, is_disabled: bool) -> Option<Job> {
    let word = |rest: &mut &str| {
        let (word, behind) = rest.split_at(rest.find(is_blank)?);
        *rest = behind.trim_start_matches(is_blank);
        Some(word.to_owned())
    };
    let mut rest = line.trim_start_matches(is_blank);
    let when = if rest.starts_with('@') {
        When::Special(word(&mut rest)?)
    } else {
        let mut times: [String; 5] = Default::default();
        for time in &mut times {
            *time = word(&mut rest)?;
        }
        When::Times(times)
    };
    (!rest.is_empty()).then(|| Job { when, cmd: rest.to_owned(), is_disabled })
}

/// The comment and the identifier in the lines above a job.
pub(super) fn read_comment<'a>(lines: impl Iterator<Item = &'a str>) -> (Option<String>, Option<String>) {
    let (mut comment, mut identifier) = (None::<String>, None);
    for line in lines {
        let mut text = line.trim_start_matches(is_blank).trim_start_matches(['#', ' ']);
        if let Some((at, tag)) = find_tag(text) {
            let behind = &text[at + tag.len()..];
            let mut given = behind.chars();
            // A colon stands in between.
            given.next();
            identifier =
                Some(given.as_str().trim().to_owned()).filter(|given| !given.is_empty()).or(identifier);
            text = text[..at].trim_end();
        }
        match &mut comment {
            Some(comment) => {
                comment.push('\n');
                comment.push_str(text);
            }
            None => comment = Some(text.to_owned()),
        }
    }
    (comment, identifier)
}

fn find_tag(text: &str) -> Option<(usize, &'static str)> {
    [TAG, SALTS_TAG].into_iter().filter_map(|tag| Some((text.find(tag)?, tag))).min()
}

/// Whether a text could be taken for an identifier's place.
pub(super) fn has_tag(text: &str) -> bool {
    find_tag(text).is_some()
}

/// The lines above a job; nothing when there is nothing to say.
pub(super) fn write_comment(
    comment: Option<&str>,
    identifier: Option<&str>,
    manager: Manager,
) -> Option<String> {
    if comment.is_none() && identifier.is_none() {
        return None;
    }
    let mut text = "#".to_owned();
    if let Some(comment) = comment.filter(|comment| !comment.is_empty()) {
        text.push(' ');
        text.push_str(&comment.replace('\n', "\n# "));
    }
    if let Some(identifier) = identifier {
        text.push_str(&format!(" {}:{identifier}", manager.tag()));
    }
    Some(text)
}

pub(super) fn write_job(job: &Job) -> String {
    let disabled = if job.is_disabled { DISABLED } else { "" };
    match &job.when {
        When::Times(times) => format!("{disabled}{} {}", times.join(" "), job.cmd),
        When::Special(special) => format!("{disabled}{special} {}", job.cmd),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(line: &str) -> Line {
        match read(line) {
            Line::Job(Job { when: When::Times(times), cmd, is_disabled }) => {
                Line::Variable { name: times.join("|"), value: format!("{cmd}|{is_disabled}") }
            }
            other => other,
        }
    }

    #[test]
    fn lines_are_read_as_cron_reads_them() {
        let shown =
            |name: &str, value: &str| Line::Variable { name: name.to_owned(), value: value.to_owned() };
        for (line, expected) in [
            ("* * * * * true", shown("*|*|*|*|*", "true|false")),
            (" 5 4\t*  */2 mon   a  b ", shown("5|4|*|*/2|mon", "a  b |false")),
            ("#DISABLED#0 1 2 3 4 echo %d", shown("0|1|2|3|4", "echo %d|true")),
            ("* * * * * A=b env", shown("*|*|*|*|*", "A=b env|false")),
            ("A=b", shown("A", "b")),
            (" _A1 =  b c ", shown("_A1", "b c ")),
            ("MAILTO=\"\"", shown("MAILTO", "\"\"")),
            ("* * * * *", Line::Other),
            ("* * * * * ", Line::Other),
            ("#DISABLED#", Line::Other),
            ("", Line::Other),
            ("1A=b", Line::Other),
            ("@daily", Line::Other),
            ("  # x", Line::Comment),
            ("#", Line::Comment),
            (MARKER, Line::Marker(Manager::Brine)),
            (SALTS_MARKER, Line::Marker(Manager::Salt)),
        ] {
            assert_eq!(times(line), expected, "{line:?}");
        }
        let special =
            Job { when: When::Special("@daily".to_owned()), cmd: "a  b".to_owned(), is_disabled: true };
        assert_eq!(read("#DISABLED#@daily\ta  b"), Line::Job(special));
    }

    #[test]
    fn comments_are_those_that_salt_writes() {
        for (lines, comment, identifier) in [
            (&[][..], None, None),
            (&["# a"], Some("a"), None),
            (&["#"], Some(""), None),
            (&["# SALT_CRON_IDENTIFIER:x y"], Some(""), Some("x y")),
            (&["# a", "# b SALT_CRON_IDENTIFIER:x"], Some("a\nb"), Some("x")),
            (&["# b BRINE_CRON_IDENTIFIER:SALT_x"], Some("b"), Some("SALT_x")),
            (&["# b SALT_CRON_IDENTIFIER"], Some("b"), None),
        ] {
            let read = read_comment(lines.iter().copied());
            assert_eq!((read.0.as_deref(), read.1.as_deref()), (comment, identifier), "{lines:?}");
        }
        let written = write_comment(Some("a\nb"), Some("x"), Manager::Salt);
        assert_eq!(written.as_deref(), Some("# a\n# b SALT_CRON_IDENTIFIER:x"));
        assert_eq!(
            write_comment(None, Some("x"), Manager::Brine).as_deref(),
            Some("# BRINE_CRON_IDENTIFIER:x")
        );
        assert_eq!(write_comment(Some(""), None, Manager::Brine).as_deref(), Some("#"));
        assert_eq!(write_comment(None, None, Manager::Brine), None);
    }
}
