#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| brine_tests::fuzzed::run("handshake_resume", bytes));
