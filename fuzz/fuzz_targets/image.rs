//! Any bytes as an image: pixels come of them or an error, in the memory that is
//! allowed. The samples are the images of `tests/fixtures/preprocess`.
//!
//! `cargo +nightly fuzz run image`

#![no_main]

use libfuzzer_sys::fuzz_target;
use vgg_surgery::Image;

fuzz_target!(|bytes: &[u8]| {
    let strict = Image::options().memory_limit(64 << 20);
    let lenient = strict.clone().allow_truncated();
    let whole = strict.decode(bytes);
    let read = lenient.decode(bytes);
    if let Ok(whole) = whole {
        let read = read.expect("what is whole is read by those who take less");
        assert_eq!((whole.width(), whole.height()), (read.width(), read.height()));
    }
});
