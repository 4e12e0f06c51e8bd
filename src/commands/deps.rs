//! `deps`: so far only what `--dry-run` collects, resolving not included.

use super::Error;
use crate::cli::{Format, ProjectArgs};
use crate::host::Host;
use crate::plan::requirements_hash;
use crate::project::{CollectOptions, LockUse, Requirements, Warning, build_directory, collect};
use crate::render::Exit;
use crate::target::{PythonVersion, Target};
use crate::tools::Tools;
use serde_json::json;
use std::path::Path;

/// Collect and print: local packages, requirement lines, warnings.
///
/// # Errors
/// What [`collect`] refuses, or when stdout cannot be written.
pub fn dry_run(args: &ProjectArgs, format: Format, host: &Host) -> Result<Exit, Error> {
    let python = args.build.python_version.unwrap_or(PythonVersion::DEFAULT);
    let platform = args.build.platform.unwrap_or_else(|| python.serverless_platform());
    let options = CollectOptions {
        target: Target { python, platform },
        lock_use: match (args.build.locked, args.build.no_locked) {
            (true, _) => LockUse::Required,
            (_, true) => LockUse::Ignored,
            _ => LockUse::Automatic,
        },
        extras: args.build.extras.clone(),
        all_extras: args.build.all_extras,
        groups: args.build.groups.clone(),
    };
    let tools = Tools::new(host);
    let requirements = collect(&args.project_dir, &options, &tools, host)?;
    let base = host.absolute(&args.project_dir);
    let warnings: Vec<String> =
        requirements.warnings.iter().map(|warning| warning_line(warning, &base)).collect();
    for warning in &warnings {
        host.say(&format!("warning: {warning}"));
    }
    let text = match format {
        Format::Text => requirements.lines.join("\n"),
        Format::Json => format!(
            "{:#}",
            json!({
                "local_packages": local_packages(&requirements, &base),
                "requirements": requirements.lines,
                "requirements_hash": requirements_hash(&requirements, options.target),
                "python_version": python,
                "platform": platform,
                "lock": requirements.lock.as_ref().map(|lock| relative(&lock.file, &base)),
                "left_out": requirements.left_out,
                "warnings": warnings,
            })
        ),
    };
    host.data(&text).map_err(Error::Stdout)?;
    Ok(Exit(0))
}

/// All but the build directory itself.
fn local_packages(requirements: &Requirements, base: &Path) -> Vec<String> {
    let directories = requirements.local_packages.iter().map(|package| relative(&package.directory, base));
    directories.filter(|directory| directory != ".").collect()
}

fn relative(path: &Path, base: &Path) -> String {
    build_directory::relative(path, base).display().to_string()
}

/// `FILE:LINE: MESSAGE`.
fn warning_line(warning: &Warning, base: &Path) -> String {
    match &warning.place {
        Some(place) => {
            let line = place.line.map(|line| format!(":{line}")).unwrap_or_default();
            format!("{}{line}: {}", relative(&place.file, base), warning.message)
        }
        None => warning.message.clone(),
    }
}
