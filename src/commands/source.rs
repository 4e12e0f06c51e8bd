//! `pexpress source PROJECT_DIR OUT_DIR`: the source PEX of one project directory.

use super::Error;
use super::building::{Building, RequirementsDocument};
use crate::builder::source;
use crate::cli::{Format, ProjectArgs};
use crate::host::Host;
use crate::plan::SourceJob;
use crate::project::Requirements;
use crate::render::Exit;
use crate::report;
use serde_json::json;

/// Run it.
///
/// # Errors
/// If the project cannot be read, a local package cannot be built, or the PEX cannot be written.
pub fn run(args: &ProjectArgs, format: Format, host: &Host) -> Result<Exit, Error> {
    let directory = host.absolute(&args.project_dir);
    let building = Building::of_directory(&args.build, &directory, host)?;
    let requirements = building.collect(&directory)?;
    let mut document = json!(RequirementsDocument::new(&directory, &requirements, building.target));
    if let (Some(out_dir), false) = (&args.out_dir, args.build.dry_run) {
        let Requirements { local_packages, settings, .. } = requirements;
        let job = SourceJob { directory, local_packages, settings };
        let out_dir = host.absolute(out_dir);
        let context = building.context(&out_dir)?;
        let file = source::build(&job, &context)?;
        if let Some(warnings) = document["warnings"].as_array_mut() {
            warnings.extend(context.warnings().into_iter().map(Into::into));
        }
        host.note(report::table::file(&file).text(host.columns()));
        document["file"] = json!(file);
        if format == Format::Text {
            host.data(&file.path.display().to_string()).map_err(Error::Stdout)?;
        }
    }
    if format == Format::Json {
        super::print_json(host, &document)?;
    }
    Ok(Exit(0))
}
