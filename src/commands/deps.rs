//! `pexpress deps PROJECT_DIR OUT_DIR`: the deps PEX of one project directory.

use super::Error;
use super::building::{Building, RequirementsDocument};
use crate::builder::deps;
use crate::cli::{Format, ProjectArgs};
use crate::error::{Explain, Fault, error_text};
use crate::host::Host;
use crate::plan::{DepsJob, requirements_hash};
use crate::render::{self, Exit};
use crate::report;
use crate::scratch::Scratch;
use serde_json::json;
use std::path::Path;
use std::sync::Arc;

/// Run it.
///
/// # Errors
/// If the project cannot be read, its requirements cannot be resolved, or the PEX cannot be built.
pub fn run(args: &ProjectArgs, format: Format, host: &Host) -> Result<Exit, Error> {
    let directory = host.absolute(&args.project_dir);
    let building = Building::of_directory(&args.build, &directory, host)?;
    let requirements = Arc::new(building.collect(&directory)?);
    let asked = RequirementsDocument::new(&directory, &requirements, building.target);
    let requirements_hash = requirements_hash(&requirements, &directory, building.target);
    let job = DepsJob { requirements, requirements_hash, directory };
    match &args.out_dir {
        Some(out_dir) if !args.build.dry_run => {
            build(&building, &job, asked, &host.absolute(out_dir), format)
        }
        _ => resolve_only(&building, &job, asked, format),
    }
}

fn build(
    building: &Building<'_>,
    job: &DepsJob,
    mut asked: RequirementsDocument,
    out_dir: &Path,
    format: Format,
) -> Result<Exit, Error> {
    let context = building.context(out_dir)?;
    let built = deps::build(job, &context)?;
    asked.warnings.extend(context.warnings());
    building.host.note(report::table::file(&built.file).text(building.host.columns()));
    asked.resolution = Some(built.resolution);
    if format == Format::Json {
        let mut document = json!(asked);
        document["file"] = json!(built.file);
        super::print_json(building.host, &document)?;
    } else {
        building.host.data(&built.file.path.display().to_string()).map_err(Error::Stdout)?;
    }
    Ok(Exit(0))
}

/// A dry run: the requirements are printed even if they cannot be resolved, since they show the cause.
fn resolve_only(
    building: &Building<'_>,
    job: &DepsJob,
    mut asked: RequirementsDocument,
    format: Format,
) -> Result<Exit, Error> {
    let out_dir = Scratch::shared(&building.host.temp_dir()).map_err(Error::Temporary)?;
    let context = building.context(out_dir.path())?;
    let resolved = deps::resolve(job, &context);
    let exit = match resolved {
        Ok(resolution) => {
            deps::behind(job, &resolution, &context).iter().for_each(|warning| building.host.warn(warning));
            asked.resolution = Some(resolution);
            Exit(0)
        }
        // An index that is out of reach here may be reachable from the machine that builds.
        Err(error) if error.fault() == Fault::Remote => {
            let message = error_text(&error, false);
            building
                .host
                .warn(format!("collected, but not resolved: {}", message.trim_start_matches("error: ")));
            asked.error = Some(message);
            Exit(0)
        }
        Err(error) => {
            asked.error = Some(error_text(&error, false));
            render::failure(building.host, &error)
        }
    };
    match format {
        Format::Json => super::print_json(building.host, &json!(asked))?,
        Format::Text => building.host.data(&text(&asked)).map_err(Error::Stdout)?,
    }
    Ok(exit)
}

/// The exact distributions, a line each; the requirements if they were not resolved.
fn text(asked: &RequirementsDocument) -> String {
    let mut lines: Vec<String> =
        asked.local_packages.iter().map(|path| format!("# local package: {path}")).collect();
    match &asked.resolution {
        Some(resolution) => lines.extend(resolution.distributions.iter().map(|distribution| {
            format!("{}=={}", distribution.name, distribution.version.as_deref().unwrap_or("*"))
        })),
        None => lines.extend(asked.requirements.iter().cloned()),
    }
    lines.join("\n")
}
