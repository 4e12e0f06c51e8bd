//! Load code locations here before they are updated, and tell of each.

use crate::build::manifest::Manifest;
use crate::commands::building::Building;
use crate::commands::progress::Progress;
use crate::commands::{Error, verify};
use crate::error::{Explain, Fault};
use crate::project::Warning;
use crate::verify::{Outcome, Rules, Verified};
use std::path::Path;

/// Load those code locations that the rules name; `None` where there are none to be loaded.
///
/// # Errors
/// When a file cannot be unpacked or Python not be run; where nobody asked for it, that is a warning.
pub fn run(
    rules: &Rules<'_>,
    mut manifest: Manifest,
    out_dir: &Path,
    building: &Building<'_>,
    progress: &Progress,
) -> Result<Option<Vec<Verified>>, Error> {
    manifest.locations.retain(|entry| rules.is_wanted(entry));
    if manifest.locations.is_empty() {
        return Ok(None);
    }
    progress.stage("verify");
    let is_lenient = rules.is_lenient();
    let verified = verify::verify(&manifest, out_dir, &building.tools, &building.display, is_lenient);
    let verified = match verified {
        // A machine that cannot load them is no reason not to deploy what nobody asked to load here.
        Err(error) if is_lenient && error.fault() == Fault::Tool => {
            warn(format!("the code locations could not be loaded here: {error}"), building, progress);
            return Ok(None);
        }
        verified => verified?,
    };
    for one in verified.iter().filter(|one| one.is_tolerated) {
        if let Outcome::Failed { not_here: Some(reason), .. } = &one.outcome {
            let error = one.outcome.error_line().unwrap_or_default();
            let text = format!("{} does not load here, and may load elsewhere: {reason} ({error})", one.name);
            warn(text, building, progress);
        }
    }
    Ok(Some(verified))
}

fn warn(message: String, building: &Building<'_>, progress: &Progress) {
    building.host.warn(&message);
    progress.put(|run| run.warnings.push(Warning::without_place(message)));
}
