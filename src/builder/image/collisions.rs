//! Distributions that bring the same module with different content: which of them the image runs.

use crate::builder::Context;
use crate::builder::fetch_job::FetchedWheel;
use crate::hex::hex;
use crate::pex::{Chroot, Collision, collisions_in_order, script_stub};
use sha2::{Digest, Sha256};

/// Raise it whenever the same wheels lead to other warnings.
const FORMAT: &str = "1";

/// A sentence for each pair of such distributions, from the lowest layer to the highest, where the later one stays. They
/// follow from the wheels alone, so they are remembered. A wheel that cannot be read is an error where its layer is
/// written.
pub fn warnings(wheels: &[&FetchedWheel], context: &Context<'_>) -> Vec<String> {
    let mut hash = Sha256::new_with_prefix(FORMAT);
    wheels.iter().for_each(|wheel| hash.update(&wheel.sha256));
    let record = format!("fingerprints/collisions-{}", hex(hash.finalize()));
    let known = context.tools.cache().recall(&record);
    if let Some(known) = known.and_then(|text| serde_json::from_str(&text).ok()) {
        return known;
    }
    let open = |wheel: &&FetchedWheel| Chroot::open(&wheel.path, &wheel.file_name, &script_stub).ok();
    let chroots: Vec<Chroot> = wheels.iter().filter_map(open).collect();
    let chroots: Vec<&Chroot> = chroots.iter().collect();
    let found = collisions_in_order(&chroots);
    let sentences: Vec<String> = found.iter().map(Collision::in_image).collect();
    context.tools.keep(&record, &serde_json::json!(sentences).to_string());
    sentences
}
