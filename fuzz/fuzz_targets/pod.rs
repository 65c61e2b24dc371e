//! Any Pod: decoded, judged, planned, translated, told of. `just fuzz pod`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rustlet::testing::any_pod::check(bytes));
