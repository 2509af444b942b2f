//! `sysctl.*`: kernel parameters.

use super::Function;

pub(super) fn functions() -> Vec<Function> {
    Vec::new()
}
