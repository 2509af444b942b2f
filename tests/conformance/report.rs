//! What came out of a file of cases.

use std::collections::BTreeMap;

/// Counts, and what went wrong.
#[derive(Debug, Default)]
pub(crate) struct Report {
    passed: usize,
    differ: usize,
    failures: Vec<String>,
    /// How many cases each rule of ours had a say in.
    used: BTreeMap<String, usize>,
    /// How many cases are by a rule of ours, under the first that spoke.
    ruled: BTreeMap<String, usize>,
}

impl Report {
    /// A case gives what Salt gives.
    pub(crate) fn pass(&mut self) {
        self.passed += 1;
    }

    /// A case that is to give something else: whether it does, and what is wrong if not. `rule` is
    /// the rule of ours that speaks for it, empty when it is none of ours.
    pub(crate) fn on_purpose(&mut self, case: &str, rule: &str, is_so: bool, otherwise: &str) {
        self.use_rule(rule);
        if !rule.is_empty() {
            *self.ruled.entry(rule.to_owned()).or_default() += 1;
        }
        if is_so {
            self.differ += 1;
        } else {
            self.fail(case, otherwise);
        }
    }

    /// Notes that a rule speaks for the present case.
    pub(crate) fn use_rule(&mut self, rule: &str) {
        if !rule.is_empty() {
            *self.used.entry(rule.to_owned()).or_default() += 1;
        }
    }

    pub(crate) fn fail(&mut self, case: &str, what: &str) {
        self.failures.push(format!("n={case}: {what}"));
    }

    /// How many cases are by a rule, others of which may have had a say.
    pub(crate) fn ruled(&self, rule: &str) -> usize {
        self.ruled.get(rule).copied().unwrap_or_default()
    }

    /// How many cases a rule had a say in.
    pub(crate) fn used(&self, rule: &str) -> usize {
        self.used.get(rule).copied().unwrap_or_default()
    }

    pub(crate) fn line(&self) -> String {
        let failed = self.failures.len();
        format!("{} passed, {} differ on purpose, {failed} failed", self.passed, self.differ)
    }

    pub(crate) fn result(self) -> Result<(), String> {
        if self.failures.is_empty() { Ok(()) } else { Err(self.failures.join("\n")) }
    }
}
