//! Prints a job's returns as they arrive, in the form asked for.

use std::io::{self, Write};

use brine_local::output::{Style, escape, render, render_one};
use brine_protocol::job::{Job, Returned};
use serde_json::{Map, Value};

use super::progress::{ERASE, Progress};
use super::watch::Summary;

/// What the operator wants to see.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wishes {
    pub(super) style: Style,
    /// All returns in one document at the end.
    pub(super) is_static: bool,
    pub(super) verbose: bool,
    pub(super) show_jid: bool,
    pub(super) summary: bool,
    /// Say nothing of minions that gave no return.
    pub(super) hide_missing: bool,
    /// Show on `err` how far it is, in a line of so many columns.
    pub(super) progress: Option<usize>,
}

/// Writes to two places: `out` carries returns and nothing that a program could not read, `err`
/// everything else. Each return is flushed.
pub(super) struct Show<O, E> {
    wishes: Wishes,
    out: O,
    err: E,
    returns: Map<String, Value>,
    worst_retcode: i32,
    /// From the job's beginning to its end, if it is shown at all.
    progress: Option<Progress>,
}

impl<O: Write, E: Write> Show<O, E> {
    pub(super) fn new(wishes: Wishes, out: O, err: E) -> Self {
        Self { wishes, out, err, returns: Map::new(), worst_retcode: 0, progress: None }
    }

    fn is_for_programs(&self) -> bool {
        self.wishes.style.format.is_for_programs()
    }

    fn print(&mut self, text: &str) -> io::Result<()> {
        self.erase()?;
        self.out.write_all(text.as_bytes())?;
        self.out.flush()?;
        self.draw()
    }

    /// Takes the line of progress away: what is written next begins where it stood.
    fn erase(&mut self) -> io::Result<()> {
        match self.progress {
            None => Ok(()),
            Some(_) => self.err.write_all(ERASE.as_bytes()).and_then(|()| self.err.flush()),
        }
    }

    fn draw(&mut self) -> io::Result<()> {
        match &self.progress {
            None => Ok(()),
            Some(progress) => write!(self.err, "{ERASE}{}", progress.line()).and_then(|()| self.err.flush()),
        }
    }

    /// Counts an answer, or that there will be none.
    fn count(&mut self, act: impl FnOnce(&mut Progress)) -> io::Result<()> {
        if let Some(progress) = &mut self.progress {
            act(progress);
        }
        self.draw()
    }

    /// To the reader: on `out` when a person reads it.
    fn tell(&mut self, text: &str) -> io::Result<()> {
        if self.is_for_programs() { self.aside(text) } else { self.print(text) }
    }

    /// One line beside the returns.
    pub(super) fn note(&mut self, text: &str) -> io::Result<()> {
        self.aside(&format!("{text}\n"))
    }

    fn aside(&mut self, text: &str) -> io::Result<()> {
        self.erase()?;
        self.err.write_all(text.as_bytes())?;
        self.draw()
    }

    pub(super) fn begin(&mut self, job: &Job) -> io::Result<()> {
        if let Some(columns) = self.wishes.progress {
            self.progress = Some(Progress::new(columns));
            self.count(|progress| progress.begin(job.minions.len()))?;
        }
        if self.wishes.verbose {
            self.tell(&format!("Executing job with jid {}\n{RULE}\n\n", job.jid))?;
        } else if self.wishes.show_jid {
            self.tell(&format!("jid: {}\n", job.jid))?;
        }
        Ok(())
    }

    pub(super) fn returned(&mut self, id: &str, returned: Returned) -> io::Result<()> {
        self.count(|progress| progress.heard(id))?;
        if returned.truncated {
            self.note(&format!("{id}: the output was longer than the minion keeps; the rest is cut off"))?;
        }
        if self.wishes.is_static {
            self.worst_retcode = self.worst_retcode.max(returned.retcode);
            self.returns.insert(id.to_owned(), returned.value);
            return Ok(());
        }
        let text = render_one(id, &returned.value, &self.wishes.style, returned.retcode);
        self.print(&text)
    }

    /// A minion that gave no answer.
    pub(super) fn missing(&mut self, id: &str, why: &str) -> io::Result<()> {
        self.count(|progress| progress.missing(id))?;
        if self.wishes.hide_missing {
            return Ok(());
        }
        self.without_value(id, format!("Minion did not return. [{why}]"))
    }

    /// A minion that answered, and has no value to show.
    pub(super) fn ended(&mut self, id: &str, why: &str) -> io::Result<()> {
        self.count(|progress| progress.heard(id))?;
        self.worst_retcode = self.worst_retcode.max(1);
        self.without_value(id, format!("ERROR: {why}"))
    }

    fn without_value(&mut self, id: &str, sentence: String) -> io::Result<()> {
        if self.is_for_programs() {
            return self.note(&format!("{}: {}", escape(id), escape(&sentence)));
        }
        if self.wishes.is_static {
            self.returns.insert(id.to_owned(), Value::String(sentence));
            return Ok(());
        }
        let text = render_one(id, &Value::String(sentence), &self.wishes.style, 1);
        self.print(&text)
    }

    /// What `--static` kept back, and the summary.
    pub(super) fn finish(&mut self, summary: Summary) -> io::Result<()> {
        self.erase()?;
        self.progress = None;
        if self.wishes.is_static {
            let returns = std::mem::take(&mut self.returns);
            if self.is_for_programs() || !returns.is_empty() {
                let text = render(&returns, &self.wishes.style, self.worst_retcode);
                self.print(&text)?;
            }
        }
        if self.wishes.summary {
            self.tell(&format!(
                "\n\n{RULE}\nSummary\n{RULE}\n# of minions targeted: {}\n# of minions returned: {}\n\
                 # of minions that did not return: {}\n# of minions with errors: {}\n{RULE}\n",
                summary.targeted, summary.returned, summary.missing, summary.errors
            ))?;
        }
        if summary.errors > 0 {
            self.note("ERROR: Minions returned with non-zero exit code")?;
        }
        Ok(())
    }

    /// The answer to a target that matches nobody.
    pub(super) fn nothing_matched(&mut self, detail: &str) -> io::Result<()> {
        self.tell("No minions matched the target. No command was sent, no jid was assigned.\n")?;
        self.nobody_there(&format!("ERROR: No return received: {detail}"))
    }

    /// Nothing was submitted, for the reason in the sentence.
    pub(super) fn nobody_there(&mut self, sentence: &str) -> io::Result<()> {
        if self.wishes.is_static && self.is_for_programs() {
            let text = render(&Map::new(), &self.wishes.style, 0);
            self.print(&text)?;
        }
        self.note(sentence)
    }
}

const RULE: &str = "-------------------------------------------";

#[cfg(test)]
mod tests {
    use brine_local::output::Format;
    use brine_protocol::job::Delivery;
    use brine_protocol::target::Target;
    use brine_protocol::time::Timestamp;
    use serde_json::json;

    use super::*;

    fn shown(wishes: Wishes) -> (String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut show = Show::new(wishes, &mut out, &mut err);
        let job = Job {
            jid: "20261122060732123407".parse().expect("a jid"),
            calls: Vec::new(),
            target: Target::glob("*"),
            delivery: Delivery::Now,
            job_timeout_ms: None,
            batch: None,
            detach: false,
            principal: String::new(),
            submitted: Timestamp(0),
            number: 1,
            minions: Vec::new(),
        };
        let returned = Returned { value: json!(true), retcode: 0, duration_ms: 1, truncated: false };
        let run = || -> io::Result<()> {
            show.begin(&job)?;
            show.returned("m1", returned.clone())?;
            show.missing("m2", "offline since 2026-11-22T06:07:32.000000Z")?;
            show.finish(Summary { targeted: 2, returned: 1, missing: 1, errors: 0 })
        };
        let mut run = run;
        run().expect("memory does not fail");
        (String::from_utf8(out).expect("UTF-8"), String::from_utf8(err).expect("UTF-8"))
    }

    fn wishes(format: Format) -> Wishes {
        Wishes { style: Style { format, ..Style::default() }, ..Wishes::default() }
    }

    #[test]
    fn for_people() {
        let (out, err) = shown(wishes(Format::Nested));
        assert_eq!(
            out,
            "m1:\n    True\nm2:\n    Minion did not return. [offline since 2026-11-22T06:07:32.000000Z]\n"
        );
        assert_eq!(err, "");
    }

    #[test]
    fn for_programs() {
        let (out, err) =
            shown(Wishes { is_static: true, verbose: true, summary: true, ..wishes(Format::Json) });
        assert_eq!(out, "{\n    \"m1\": true\n}\n");
        assert!(
            err.contains("\nm2: Minion did not return. [offline since 2026-11-22T06:07:32.000000Z]\n"),
            "{err}"
        );
        assert!(err.starts_with("Executing job with jid 20261122060732123407\n"));
        let (out, _) = shown(wishes(Format::Raw));
        assert_eq!(out, "{'m1': True}\n");
    }

    /// Cases 13 and 15 of the recorded runs of Salt 3008.5.
    #[test]
    fn frames_are_salts() {
        let (out, _) = shown(Wishes { verbose: true, summary: true, ..wishes(Format::Txt) });
        assert_eq!(
            out,
            "Executing job with jid 20261122060732123407\n-------------------------------------------\n\nm1: True\n\
             m2: Minion did not return. [offline since 2026-11-22T06:07:32.000000Z]\n\n\n\
             -------------------------------------------\nSummary\n-------------------------------------------\n\
             # of minions targeted: 2\n# of minions returned: 1\n# of minions that did not return: 1\n\
             # of minions with errors: 0\n-------------------------------------------\n"
        );
        let (out, _) = shown(Wishes { show_jid: true, ..wishes(Format::Txt) });
        assert!(out.starts_with("jid: 20261122060732123407\nm1: True\n"));
    }

    #[test]
    fn missing_minions_can_be_hidden() {
        for is_static in [false, true] {
            let hidden = Wishes { hide_missing: true, is_static, ..wishes(Format::Nested) };
            assert_eq!(shown(hidden), ("m1:\n    True\n".to_owned(), String::new()));
            let hidden = Wishes { hide_missing: true, is_static, ..wishes(Format::Json) };
            assert_eq!(shown(hidden).1, "");
        }
    }

    #[test]
    fn progress_is_drawn_beside_the_returns_and_leaves_nothing() {
        let wishes = Wishes { progress: Some(80), ..wishes(Format::Txt) };
        let (out, err) = shown(wishes);
        assert_eq!(out, "m1: True\nm2: Minion did not return. [offline since 2026-11-22T06:07:32.000000Z]\n");
        assert!(
            err.contains("] 1 of 1\r\u{1b}[K") && err.contains("] 2 of 2, 1 without a return"),
            "{err:?}"
        );
        assert!(err.ends_with(ERASE), "{err:?}");
        assert!(!err.contains('\n'), "{err:?}");
    }

    #[test]
    fn nobody_matched() {
        for (format, is_static, expected) in [
            (
                Format::Nested,
                false,
                "No minions matched the target. No command was sent, no jid was assigned.\n",
            ),
            (Format::Json, true, "{}\n"),
            (Format::Json, false, ""),
        ] {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let mut show = Show::new(Wishes { is_static, ..wishes(format) }, &mut out, &mut err);
            show.nothing_matched("no accepted minion matches \"x\"").expect("memory does not fail");
            assert_eq!(String::from_utf8_lossy(&out), expected);
            assert!(
                String::from_utf8_lossy(&err)
                    .ends_with("ERROR: No return received: no accepted minion matches \"x\"\n")
            );
        }
    }
}
