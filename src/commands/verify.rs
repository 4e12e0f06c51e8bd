//! `pexpress verify OUT_DIR`: load the code locations of built PEX files or images, as the Dagster+ agent does.

use super::{Error, here};
use crate::builder::manifest::{FILE_NAME, Manifest};
use crate::cli::{Format, HowVerified, VerifyArgs};
use crate::display::Display;
use crate::host::Host;
use crate::render::Exit;
use crate::tools::Tools;
use crate::verify::image::{self, How, Image};
use crate::verify::{self, Definitions, Outcome, Verified, VerifyError};
use serde_json::json;
use std::path::Path;

/// Run it.
///
/// # Errors
/// When the directory holds no manifest, a file cannot be unpacked, or a code location does not load.
pub fn run(args: &VerifyArgs, format: Format, host: &Host) -> Result<Exit, Error> {
    let out_dir = match &args.out_dir {
        Some(named) => host.absolute(named),
        None => here::out_dir(None, &here::project(None, host), host),
    };
    if !image::layouts(&out_dir).is_empty() && !out_dir.join(FILE_NAME).exists() {
        return images(args, &out_dir, format, host);
    }
    if args.how == HowVerified::Container {
        return Err(VerifyError::NoImage { directory: out_dir }.into());
    }
    let mut manifest = Manifest::read(&out_dir)?;
    if let Some(unknown) =
        args.locations.iter().find(|name| manifest.locations.iter().all(|entry| entry.name != **name))
    {
        let known = manifest.locations.iter().map(|entry| entry.name.clone()).collect();
        return Err(Error::UnknownLocation { name: unknown.clone(), file: out_dir, known });
    }
    manifest.locations.retain(|entry| args.locations.is_empty() || args.locations.contains(&entry.name));
    let verified = verify(&manifest, &out_dir, &Tools::new(host), &Display::new(host), false)?;
    print(&verified, format, host)?;
    conclude(&verified)
}

/// The same for image layouts.
fn images(args: &VerifyArgs, directory: &Path, format: Format, host: &Host) -> Result<Exit, Error> {
    let opened =
        image::layouts(directory).iter().map(|layout| Image::open(layout)).collect::<Result<Vec<_>, _>>();
    let mut images = opened.map_err(Error::from)?;
    let name = |image: &Image| image.loading.name.clone();
    if let Some(unknown) =
        args.locations.iter().find(|wanted| images.iter().all(|image| name(image) != **wanted))
    {
        let known = images.iter().map(name).collect();
        return Err(Error::UnknownLocation { name: unknown.clone(), file: directory.to_path_buf(), known });
    }
    images.retain(|image| args.locations.is_empty() || args.locations.contains(&image.loading.name));
    let how = match args.how {
        HowVerified::Environment => How::Environment,
        HowVerified::Container => How::Container,
    };
    let (tools, display) = (Tools::new(host), Display::new(host));
    let verified = image::run(&images, how, &tools, &display, false, &|location| tell(location, host))?;
    print(&verified, format, host)?;
    conclude(&verified)
}

fn print(verified: &[Verified], format: Format, host: &Host) -> Result<(), Error> {
    match format {
        Format::Json => super::print_json(host, &json!({ "locations": verified })),
        Format::Text => host.data(&text(verified)).map_err(Error::Stdout),
    }
}

/// Report one code location as soon as it is loaded, or not.
pub(super) fn tell(location: &Verified, host: &Host) {
    match &location.outcome {
        Outcome::Loaded { .. } => host.note(format!("{} loads: {}", location.name, summary(location))),
        Outcome::Failed { .. } => {
            let text = location.failure().map(|failure| failure.text).unwrap_or_default();
            // One that is expected to load only elsewhere is not an error.
            let text = if location.is_tolerated { text.trim_start_matches("error: ") } else { &text };
            host.say(text);
        }
    }
}

/// Load all code locations of a manifest, and report each as soon as it is done.
///
/// # Errors
/// If a file cannot be unpacked, or Python cannot be started.
pub fn verify(
    manifest: &Manifest,
    out_dir: &Path,
    tools: &Tools,
    display: &Display,
    lenient: bool,
) -> Result<Vec<Verified>, Error> {
    let done = |location: &Verified| tell(location, tools.host());
    Ok(verify::run(manifest, out_dir, tools, display, lenient, &done)?)
}

/// Exit 0 if every location loaded.
///
/// # Errors
/// [`Error::NotLoaded`] with the names of those that did not.
pub fn conclude(verified: &[Verified]) -> Result<Exit, Error> {
    let failed: Vec<&Verified> = verified.iter().filter(|location| !location.passes()).collect();
    // If several do not load, each has its own hint above.
    let hint = match failed.as_slice() {
        [] => return Ok(Exit(0)),
        [Verified { outcome: Outcome::Failed { hint, .. }, .. }] => hint.clone(),
        _ => None,
    };
    let failed = failed.iter().map(|location| format!("{}: {}", location.name, line(location))).collect();
    Err(Error::NotLoaded { failed, total: verified.len(), hint })
}

fn summary(location: &Verified) -> String {
    let Outcome::Loaded { dagster, dagster_cloud, repositories } = &location.outcome else {
        return String::new();
    };
    let sum = |kind: fn(&Definitions) -> usize| repositories.values().map(kind).sum::<usize>();
    let counts = [
        (sum(|found| found.assets.len()), "asset"),
        (sum(|found| found.jobs.len()), "job"),
        (sum(|found| found.schedules.len()), "schedule"),
        (sum(|found| found.sensors.len()), "sensor"),
    ];
    let named = counts.iter().filter(|(count, _)| *count > 0);
    let named: Vec<String> =
        named.map(|(count, what)| format!("{count} {what}{}", if *count == 1 { "" } else { "s" })).collect();
    let what = if named.is_empty() { "no definitions".to_string() } else { named.join(", ") };
    format!("{what} (dagster {dagster}, dagster-cloud {dagster_cloud})")
}

/// Each location with its definitions, for stdout.
fn text(verified: &[Verified]) -> String {
    let mut lines = Vec::new();
    for location in verified {
        match &location.outcome {
            Outcome::Failed { .. } => lines.push(format!("{}: failed: {}", location.name, line(location))),
            Outcome::Loaded { repositories, .. } => {
                lines.push(format!("{}: {}", location.name, summary(location)));
                for found in repositories.values() {
                    let kinds = [
                        ("assets", &found.assets),
                        ("jobs", &found.jobs),
                        ("schedules", &found.schedules),
                        ("sensors", &found.sensors),
                    ];
                    let named = kinds.iter().filter(|(_, names)| !names.is_empty());
                    lines.extend(named.map(|(kind, names)| format!("  {kind}: {}", names.join(", "))));
                }
            }
        }
    }
    lines.join("\n")
}

/// The exception, its message, and the line of the user's code that raised it.
fn line(location: &Verified) -> String {
    let line = location.outcome.error_line().unwrap_or_default();
    match &location.outcome {
        Outcome::Failed { place: Some(place), .. } => format!("{line} ({place})"),
        _ => line.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Place;

    #[test]
    fn the_closing_error_names_the_exception_and_leaves_its_stack_to_the_traceback() {
        let outcome = Outcome::Failed {
            error: "ConfigError: no such variable\n\nStack Trace:\n  File \"x.py\"".into(),
            traceback: "Traceback …".into(),
            not_here: None,
            library: None,
            place: Some(Place { file: "x.py".into(), line: Some(3), column: None }),
            hint: None,
        };
        let failed = conclude(&[Verified::new("one", outcome, true)]).unwrap_err();
        assert_eq!(
            failed.to_string(),
            "1 of 1 code locations could not be loaded: one: ConfigError: no such variable (x.py:3)"
        );
    }
}
