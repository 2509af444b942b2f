//! What becomes of memory that is free again.

use std::env;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// From how many bytes on a block is a mapping of its own; read by glibc when a program starts
/// (`mallopt(3)`, `M_MMAP_THRESHOLD`).
const THRESHOLD: &str = "MALLOC_MMAP_THRESHOLD_";

/// Makes large blocks go back to the system when they are freed: starts this program anew, as the same
/// process, unless the environment says what it has to.
///
/// glibc raises that size by itself, up to 32 MiB, when large blocks are freed. The databases' buffers of
/// half a MiB come and go with every bucket, so they would lie in the heap between small blocks that
/// stay, and the heap would grow for hours. A program may set the size itself only by unsafe code.
/// With another C library, and where a program cannot be started anew, nothing changes.
pub fn give_back_large_blocks() {
    let Ok(program) = env::current_exe() else { return };
    if env::var_os(THRESHOLD).is_some() {
        return;
    }
    let mut arguments = env::args_os();
    let mut command = Command::new(program);
    command.arg0(arguments.next().unwrap_or_default());
    // It returns only when it failed.
    let _ = command.args(arguments).env(THRESHOLD, "131072").exec();
}
