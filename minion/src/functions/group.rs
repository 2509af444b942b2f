//! `group.*`: groups of users.

use super::Function;

pub(super) fn functions() -> Vec<Function> {
    Vec::new()
}
