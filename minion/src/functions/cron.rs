//! `cron.*`: tables of cron.

use super::Function;

pub(super) fn functions() -> Vec<Function> {
    Vec::new()
}
