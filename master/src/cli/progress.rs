//! How far a job is, in one line of a terminal that is drawn anew: `[#####     ] 3 of 10`.

use std::collections::BTreeSet;

/// How wide the bar is at most.
const BAR: usize = 30;

/// Takes the line away and leaves the cursor where it began.
pub(super) const ERASE: &str = "\r\x1b[K";

/// Who has answered so far.
#[derive(Debug, Default)]
pub(super) struct Progress {
    columns: usize,
    total: usize,
    heard: usize,
    /// By name, because the return of one that was named as missing may still come.
    missing: BTreeSet<String>,
}

impl Progress {
    /// Nobody yet, for a line of so many columns.
    pub(super) fn new(columns: usize) -> Self {
        Self { columns, ..Self::default() }
    }

    /// The job is for so many.
    pub(super) fn begin(&mut self, total: usize) {
        self.total = total;
    }

    /// This minion answered.
    pub(super) fn heard(&mut self, id: &str) {
        self.missing.remove(id);
        self.heard += 1;
    }

    /// This one is not waited for any more.
    pub(super) fn missing(&mut self, id: &str) {
        self.missing.insert(id.to_owned());
    }

    /// The line, without an end: it fits, so that it can be erased.
    pub(super) fn line(&self) -> String {
        let done = self.heard + self.missing.len();
        let total = self.total.max(done);
        let mut counts = format!(" {done} of {total}");
        if !self.missing.is_empty() {
            counts += &format!(", {} without a return", self.missing.len());
        }
        // The last column stays free: some terminals go on to the next line when it is written.
        let room = self.columns.saturating_sub(counts.len() + 3).min(BAR);
        let filled = (room * done).checked_div(total).unwrap_or(0);
        let bar = format!("[{}{}]", "#".repeat(filled), " ".repeat(room - filled));
        let line = if room > 0 { bar + &counts } else { counts.trim_start().to_owned() };
        line.chars().take(self.columns.saturating_sub(1)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_grows() {
        let mut progress = Progress::new(80);
        progress.begin(3);
        assert_eq!(progress.line(), format!("[{}] 0 of 3", " ".repeat(30)));
        progress.heard("m1");
        assert_eq!(progress.line(), format!("[{}{}] 1 of 3", "#".repeat(10), " ".repeat(20)));
        progress.missing("m2");
        progress.missing("m3");
        assert_eq!(progress.line(), format!("[{}] 3 of 3, 2 without a return", "#".repeat(30)));
        progress.heard("m3");
        assert_eq!(progress.line(), format!("[{}] 3 of 3, 1 without a return", "#".repeat(30)));
        // A name in a list that is no minion is asked for too.
        progress.missing("nosuch");
        assert!(progress.line().ends_with("] 4 of 4, 2 without a return"), "{}", progress.line());
    }

    #[test]
    fn it_fits_its_terminal() {
        for columns in 0..100 {
            let mut progress = Progress::new(columns);
            assert!(progress.line().len() <= columns.saturating_sub(1), "{columns}");
            progress.begin(10_000);
            progress.heard("m1");
            progress.missing("m2");
            assert!(progress.line().len() <= columns.saturating_sub(1), "{columns}");
        }
        let mut narrow = Progress::new(20);
        narrow.begin(2);
        narrow.heard("m1");
        assert_eq!(narrow.line(), "[#####     ] 1 of 2");
        assert_eq!(Progress::new(8).line(), "0 of 0");
    }
}
