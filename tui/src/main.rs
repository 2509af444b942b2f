//! `brine-tui`: key approval in a terminal, live.

fn main() {}
