#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| pexpress::fuzzing::base_layer(data));
