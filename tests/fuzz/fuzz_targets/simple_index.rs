#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| pexpress::fuzzing::simple_index(data));
