//! Malformed requests to the node's API: request line, route, query, headers. `just fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rustlet::testing::malformed::check(bytes));
