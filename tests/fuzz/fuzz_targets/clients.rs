#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| qft_fuzz::run("clients", input));
