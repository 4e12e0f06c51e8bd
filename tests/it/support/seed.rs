//! Random numbers that can be drawn again: a run prints its seed, and `PEXPRESS_SEED` repeats it.

/// SplitMix64. Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (2014).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The numbers of this seed.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// Any number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// One of `items`.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[usize::try_from(self.below(items.len() as u64)).unwrap()]
    }

    /// True in `percent` of 100 cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// The seed of this run: `PEXPRESS_SEED`, or one that is always the same.
pub fn seed() -> u64 {
    std::env::var("PEXPRESS_SEED").ok().map_or(20_261_123, |text| text.parse().unwrap())
}

/// A size for normal runs, or for nightly ones (`PEXPRESS_NIGHTLY=1`).
pub fn sized(everyday: u64, nightly: u64) -> u64 {
    if std::env::var("PEXPRESS_NIGHTLY").is_ok_and(|value| value == "1") { nightly } else { everyday }
}
