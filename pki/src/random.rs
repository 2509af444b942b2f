//! Random bytes from the operating system.

/// Fills an array with random bytes.
///
/// # Panics
/// When the operating system cannot give random bytes: nothing here is safe without them.
#[must_use]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}
