//! `mount.*`: mounted file systems.

use super::Function;

pub(super) fn functions() -> Vec<Function> {
    Vec::new()
}
