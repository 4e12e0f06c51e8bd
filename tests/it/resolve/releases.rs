//! Dagster's packages of different releases are refused before anything is built, with the lines to change. If the
//! lines allow it, the newest common release is used.

use crate::support::small_project::write_wheel_asking;
use crate::support::{pexpress_with_uv, project_tree};
use std::path::Path;
use std::process::Output;

/// An index on the day after a release: dagster 1.13.29 is there, and no dagster-cloud above 1.13.27.
fn write_index(dir: &Path) {
    for release in ["26", "27", "28", "29"] {
        let version = format!("1.13.{release}");
        write_wheel_asking(dir, "dagster", &version, &[&format!("dagster-shared=={version}")]);
        write_wheel_asking(dir, "dagster-shared", &version, &["third>=2"]);
        write_wheel_asking(dir, "dagster-aws", &format!("0.29.{release}"), &[&format!("dagster=={version}")]);
    }
    write_wheel_asking(dir, "third", "1.0", &[]);
    write_wheel_asking(dir, "third", "2.0", &[]);
    write_wheel_asking(dir, "dagster-cloud", "1.13.26", &["dagster==1.13.26"]);
    write_wheel_asking(dir, "dagster-cloud", "1.13.27", &["dagster==1.13.27"]);
    for (name, version) in [("dagster-cloud", "0.11.14rc8"), ("dagster-aws", "0.11.14")] {
        write_wheel_asking(dir, name, version, &["dagster"]);
    }
}

/// These files, and the index in `wheels`.
pub fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
    let project = project_tree(files);
    let wheels = project.path().join("wheels");
    std::fs::create_dir(&wheels).unwrap();
    write_index(&wheels);
    project
}

/// Messages and output of `deps --dry-run` in this directory.
pub fn resolve_in(project: &Path, vars: &[(&str, &str)]) -> (Output, String) {
    dry_run("deps", project, vars)
}

fn dry_run(name: &str, project: &Path, vars: &[(&str, &str)]) -> (Output, String) {
    let mut command = pexpress_with_uv();
    command.args([name, "--dry-run"]).arg(project).arg(project.join("out")).envs(vars.iter().copied());
    let command = command.env("UV_FIND_LINKS", project.join("wheels")).env("PIP_NO_INDEX", "1");
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).replace(project.to_str().unwrap(), "[PROJECT]");
    (output, text)
}

fn resolve(files: &[(&str, &str)]) -> (Output, String) {
    resolve_in(project(files).path(), &[])
}

fn refusal(files: &[(&str, &str)]) -> String {
    refusal_in(project(files).path(), &[])
}

pub fn refusal_in(project: &Path, vars: &[(&str, &str)]) -> String {
    let (output, said) = resolve_in(project, vars);
    assert_eq!(output.status.code(), Some(1), "{said}");
    // uv's own explanation is not compared.
    let is_of_uv = |line: &&str| line.contains("caus") || line.starts_with("             ");
    let lines = said.lines().filter(|line| !is_of_uv(line) && !line.starts_with("versions are those of"));
    lines.collect::<Vec<_>>().join("\n")
}

fn requirements(text: &str) -> String {
    refusal(&[("requirements.txt", text)])
}

#[test]
fn a_dagster_without_a_dagster_cloud_is_refused_with_the_line_to_change() {
    insta::assert_snapshot!(requirements("# ours\ndagster==1.13.29\ndagster-cloud\n"), @r"
    error: dagster 1.13.29 and dagster-cloud 0.11.14rc8 are not of one release, and cannot work together
      at: [PROJECT]/requirements.txt:2
    hint: the newest release that all of them have is 1.13.27: write `dagster==1.13.27` instead of `dagster==1.13.29` ([PROJECT]/requirements.txt:2)
    ");
    insta::assert_snapshot!(requirements("dagster-cloud\ndagster>=1.13.28\n"), @r"
    error: dagster 1.13.29 and dagster-cloud 0.11.14rc8 are not of one release, and cannot work together
      at: [PROJECT]/requirements.txt:2
    hint: the newest release that all of them have is 1.13.27: write `dagster==1.13.27` instead of `dagster>=1.13.28` ([PROJECT]/requirements.txt:2)
    ");
    insta::assert_snapshot!(requirements("dagster-aws==0.29.29\ndagster\ndagster-cloud\n"), @r"
    error: dagster 1.13.29 and dagster-cloud 0.11.14rc8 are not of one release, and cannot work together
      at: [PROJECT]/requirements.txt:1
    hint: the newest release that all of them have is 1.13.27: write `dagster-aws==0.29.27` instead of `dagster-aws==0.29.29` ([PROJECT]/requirements.txt:1)
    ");
    let limited = [
        ("requirements.txt", "-c limits.txt\ndagster\ndagster-cloud\n"),
        ("limits.txt", "dagster>=1.13.28\n"),
    ];
    insta::assert_snapshot!(refusal(&limited), @r"
    error: dagster 1.13.29 and dagster-cloud 0.11.14rc8 are not of one release, and cannot work together
      at: [PROJECT]/limits.txt:1
    hint: the newest release that all of them have is 1.13.27: write `dagster==1.13.27` instead of `dagster>=1.13.28` ([PROJECT]/limits.txt:1)
    ");
}

#[test]
fn pins_of_different_releases_are_refused_with_the_line_to_change() {
    insta::assert_snapshot!(requirements("dagster==1.13.28\ndagster-cloud==1.13.27\n"), @r"
    error: no release of Dagster's packages fits `dagster==1.13.28` and `dagster-cloud==1.13.27`
      at: [PROJECT]/requirements.txt:1
    hint: the newest release that all of them have is 1.13.27: write `dagster==1.13.27` instead of `dagster==1.13.28` ([PROJECT]/requirements.txt:1)
    ");
    insta::assert_snapshot!(requirements("dagster==1.13.29\ndagster-cloud==1.13.29\n"), @r"
    error: no release of Dagster's packages fits `dagster-cloud==1.13.29`
      at: [PROJECT]/requirements.txt:2
    hint: the newest release that all of them have is 1.13.27: write `dagster-cloud==1.13.27` instead of `dagster-cloud==1.13.29` ([PROJECT]/requirements.txt:2); write `dagster==1.13.27` instead of `dagster==1.13.29` ([PROJECT]/requirements.txt:1)
    ");
    insta::assert_snapshot!(requirements("dagster==1.13.27\ndagster-cloud\ndagster-shared==1.13.28\n"), @r"
    error: no release of Dagster's packages fits `dagster==1.13.27` and `dagster-shared==1.13.28`
      at: [PROJECT]/requirements.txt:3
    hint: the newest release that all of them have is 1.13.27: write `dagster-shared==1.13.27` instead of `dagster-shared==1.13.28` ([PROJECT]/requirements.txt:3)
    ");
}

#[test]
fn a_release_excluded_by_other_lines_is_not_blamed() {
    let files = [
        ("requirements.txt", "dagster==1.13.27\ndagster-cloud==1.13.27\n-c c.txt\n"),
        ("c.txt", "third<2\n"),
    ];
    insta::assert_snapshot!(refusal(&files), @r"
    error: could not resolve the requirements
      c.txt:1: third<2 (constraint)
      requirements.txt:1: dagster==1.13.27
      at: [PROJECT]/c.txt:1
    ");
    let absent = "dagster==1.13.27\ndagster-cloud==1.13.27\ndagster-aws>=0.30\n";
    insta::assert_snapshot!(requirements(absent), @r"
    error: could not resolve the requirements
      requirements.txt:3: dagster-aws>=0.30
      at: [PROJECT]/requirements.txt:3
    ");
}

#[test]
fn a_missing_dagster_cloud_is_proposed_in_the_release_that_fits() {
    insta::assert_snapshot!(requirements("dagster==1.13.27\n"), @r"
    error: dagster-cloud is not among the requirements of `[PROJECT]`
      at: [PROJECT]/requirements.txt
    hint: add `dagster-cloud==1.13.27` to [PROJECT]/requirements.txt
    ");
    // Not the newest, and no reason to update it.
    insta::assert_snapshot!(requirements("dagster==1.13.26\ndagster-aws==0.29.26\n"), @r"
    error: dagster-cloud is not among the requirements of `[PROJECT]`
      at: [PROJECT]/requirements.txt
    hint: add `dagster-cloud==1.13.26` to [PROJECT]/requirements.txt
    ");
    insta::assert_snapshot!(requirements("dagster-shared\n"), @r"
    error: dagster and dagster-cloud are not among the requirements of `[PROJECT]`
      at: [PROJECT]/requirements.txt
    hint: add `dagster` and `dagster-cloud` to [PROJECT]/requirements.txt
    ");
    let project = "[project]\nname = 'shop'\nversion = '1'\ndependencies = [\n    'dagster==1.13.29',\n]\n";
    insta::assert_snapshot!(refusal(&[("pyproject.toml", project)]), @r"
    error: dagster-cloud is not among the requirements of `[PROJECT]`
      at: [PROJECT]/pyproject.toml
    hint: add `dagster-cloud==1.13.27` to [PROJECT]/pyproject.toml, and write `dagster==1.13.27` instead of `dagster==1.13.29` ([PROJECT]/pyproject.toml:5:5); 1.13.27 is the newest release that all of Dagster's packages have
    ");
}

#[test]
fn packages_of_an_extra_or_group_are_requested_by_its_flag() {
    let asking =
        |more: &str| format!("[project]\nname = 'shop'\nversion = '1'\ndependencies = ['third']\n{more}");
    let group = asking(
        "[dependency-groups]\ndev = ['third']\norch = [{include-group = 'dev'}, 'dagster', 'Dagster_Cloud']\n",
    );
    insta::assert_snapshot!(refusal(&[("pyproject.toml", &group)]), @r"
    `shop` also has the dependency groups dev, orch (--group), not requested
    error: dagster and dagster-cloud are not among the requirements of `[PROJECT]`
      at: [PROJECT]/pyproject.toml
    hint: build with --group orch: that dependency group has `dagster` and `dagster-cloud`
    ");
    let extra = asking("[project.optional-dependencies]\nrun = ['dagster[x]>=1']\n");
    insta::assert_snapshot!(refusal(&[("pyproject.toml", &extra)]), @r"
    `shop` also has the extra run (--extra), not requested
    error: dagster and dagster-cloud are not among the requirements of `[PROJECT]`
      at: [PROJECT]/pyproject.toml
    hint: build with --extra run: that extra has `dagster`; and add `dagster-cloud` to [PROJECT]/pyproject.toml
    ");
}

#[test]
fn one_dry_run_reports_what_all_code_locations_lack() {
    let yaml = "locations:\n- {location_name: a, code_source: {module_name: m}, build: {directory: a}}\n\
        - {location_name: b, code_source: {module_name: m}, build: {directory: b}}\n";
    let files = [
        ("dagster_cloud.yaml", yaml),
        ("a/requirements.txt", "dagster==1.13.27\n"),
        ("a/m.py", ""),
        ("b/requirements.txt", "dagster==1.13.26\n"),
        ("b/m.py", ""),
    ];
    let (output, said) = dry_run("deploy", project(&files).path(), &[]);
    assert_eq!(output.status.code(), Some(1), "{said}");
    insta::assert_snapshot!(said, @r"
    error: dagster-cloud is not among the requirements of `[PROJECT]/a`
      at: [PROJECT]/a/requirements.txt
    hint: add `dagster-cloud==1.13.27` to [PROJECT]/a/requirements.txt
    error: dagster-cloud is not among the requirements of `[PROJECT]/b`
      at: [PROJECT]/b/requirements.txt
    hint: add `dagster-cloud==1.13.26` to [PROJECT]/b/requirements.txt
    ");
}

#[test]
fn the_newest_common_release_is_used_if_the_lines_allow_it() {
    for lines in [
        "dagster\ndagster-cloud\n",
        "dagster-aws\ndagster\ndagster-cloud\n",
        "dagster>=1.13,<2\ndagster-cloud\ndagster-aws>=0.29\n",
    ] {
        let (output, said) = resolve(&[("requirements.txt", lines)]);
        let found = String::from_utf8_lossy(&output.stdout);
        assert!(
            found.contains("dagster==1.13.27\n") && found.contains("dagster-cloud==1.13.27\n"),
            "{lines}: {found}{said}"
        );
    }
}

#[test]
fn an_override_of_the_users_is_a_warning() {
    let project = "[project]\nname = 'shop'\nversion = '1'\ndependencies = ['dagster', 'dagster-cloud==1.13.27']\n\
                   [tool.uv]\noverride-dependencies = ['dagster==1.13.29']\n";
    let (output, said) = resolve(&[("pyproject.toml", project)]);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains(
            "dagster 1.13.29 and dagster-cloud 1.13.27 are not of one release; an override says so"
        ),
        "{said}"
    );
}

/// These requirements led to a dagster-aws of 2021.
#[test]
fn a_library_of_another_release_is_refused() {
    for lines in [
        "dagster==1.13.27\ndagster-cloud\ndagster-aws<0.29.27\n",
        "dagster==1.13.27\ndagster-cloud\ndagster-aws\n-c c.txt\n",
    ] {
        let files = [("requirements.txt", lines), ("c.txt", "dagster-aws<0.29.27\n")];
        let said = refusal(&files).replace("requirements.txt:3", "c.txt:1");
        insta::allow_duplicates! {
            insta::assert_snapshot!(said, @r"
            error: dagster 1.13.27 and dagster-aws 0.11.14 are not of one release, and cannot work together
              at: [PROJECT]/c.txt:1
            hint: the newest release that all of them have is 1.13.27: write `dagster-aws==0.29.27` instead of `dagster-aws<0.29.27` ([PROJECT]/c.txt:1)
            ");
        }
    }
    // A limit on a package that is not required has no effect.
    let files = [
        ("requirements.txt", "dagster==1.13.27\ndagster-cloud\n-c c.txt\n"),
        ("c.txt", "dagster-aws<0.29.27\n"),
    ];
    assert!(resolve(&files).0.status.success());
}

/// The file is only named in a variable.
#[test]
fn a_constraint_that_a_variable_names_is_named_with_its_file() {
    for name in ["UV_CONSTRAINT", "PIP_CONSTRAINT"] {
        let project = project(&[
            ("requirements.txt", "dagster\ndagster-cloud\n"),
            ("limits.txt", "# ours\ndagster==1.13.29\n"),
        ]);
        let limits = project.path().join("limits.txt");
        let said = refusal_in(project.path(), &[(name, limits.to_str().unwrap())]);
        insta::allow_duplicates! {
            insta::assert_snapshot!(said, @r"
            error: dagster 1.13.29 and dagster-cloud 0.11.14rc8 are not of one release, and cannot work together
              at: [PROJECT]/limits.txt:2
            hint: the newest release that all of them have is 1.13.27: write `dagster==1.13.27` instead of `dagster==1.13.29` ([PROJECT]/limits.txt:2)
            ");
        }
    }
    let files = project(&[("requirements.txt", "dagster\ndagster-cloud\n")]);
    let said = refusal_in(files.path(), &[("UV_CONSTRAINT", "/none.txt")]);
    insta::assert_snapshot!(said, @r"
    error: UV_CONSTRAINT names a file that does not exist
      at: /none.txt
    hint: correct the path, or unset it
    ");
}

#[test]
fn advice_for_poetry_uses_its_own_format() {
    let poetry = "[tool.poetry]\nname = 'shop'\nversion = '1'\n[tool.poetry.dependencies]\npython = '^3.9'\n";
    let said = refusal(&[("pyproject.toml", &format!("{poetry}dagster = '1.13.29'\ndagster-cloud = '*'\n"))]);
    insta::assert_snapshot!(said, @r#"
    error: dagster 1.13.29 and dagster-cloud 0.11.14rc8 are not of one release, and cannot work together
      at: [PROJECT]/pyproject.toml:6:11
    hint: the newest release that all of them have is 1.13.27: write `dagster = "1.13.27"` instead of `dagster = '1.13.29'` ([PROJECT]/pyproject.toml:6:11)
    "#);
    let text = format!(
        "{poetry}dagster = {{ version = '>=1.13.28', markers = \"python_version<'4'\" }}\ndagster-cloud = '*'\n"
    );
    insta::assert_snapshot!(refusal(&[("pyproject.toml", &text)]), @r#"
    error: dagster 1.13.29 and dagster-cloud 0.11.14rc8 are not of one release, and cannot work together
      at: [PROJECT]/pyproject.toml:6:11
    hint: the newest release that all of them have is 1.13.27: write `dagster = { version = "1.13.27", markers = "python_version<'4'" }` instead of `dagster = { version = '>=1.13.28', markers = "python_version<'4'" }` ([PROJECT]/pyproject.toml:6:11)
    "#);
    insta::assert_snapshot!(refusal(&[("pyproject.toml", &format!("{poetry}dagster = '1.13.27'\n"))]), @r#"
    error: dagster-cloud is not among the requirements of `[PROJECT]`
      at: [PROJECT]/pyproject.toml
    hint: add `dagster-cloud = "1.13.27"` to [tool.poetry.dependencies] of [PROJECT]/pyproject.toml
    "#);
}

#[test]
fn a_marker_is_quoted_as_it_is_written() {
    insta::assert_snapshot!(requirements("dagster == 1.13.29;python_version<'4'\ndagster-cloud\n"), @r"
    error: dagster 1.13.29 and dagster-cloud 0.11.14rc8 are not of one release, and cannot work together
      at: [PROJECT]/requirements.txt:1
    hint: the newest release that all of them have is 1.13.27: write `dagster==1.13.27;python_version<'4'` instead of `dagster == 1.13.29;python_version<'4'` ([PROJECT]/requirements.txt:1)
    ");
}

/// No line limits dagster-gcp; a limit on another package excludes its newer releases.
#[test]
fn a_line_for_another_package_that_holds_a_library_back_is_named() {
    let lines = "dagster==1.13.27\ndagster-cloud\ndagster-gcp\nboto<2\n";
    let project = project(&[("requirements.txt", lines)]);
    let wheels = project.path().join("wheels");
    write_wheel_asking(&wheels, "boto", "1.0", &[]);
    write_wheel_asking(&wheels, "boto", "2.0", &[]);
    write_wheel_asking(&wheels, "dagster-gcp", "0.29.27", &["dagster==1.13.27", "boto>=2"]);
    write_wheel_asking(&wheels, "dagster-gcp", "0.11.14", &["dagster"]);
    insta::assert_snapshot!(refusal_in(project.path(), &[]), @r"
    error: dagster 1.13.27 and dagster-gcp 0.11.14 are not of one release, and cannot work together
    hint: the newest release that all of them have is 1.13.27; `boto<2` (requirements.txt:4) does not allow it: change that line
    ");
}

/// `grpcio<1.44` gives dagster 1.1.21 of 2023 and everything else that fits that.
fn held_back(requirements: &str) -> String {
    let project = project(&[("requirements.txt", requirements), ("limits.txt", "third<2\n")]);
    let wheels = project.path().join("wheels");
    write_wheel_asking(&wheels, "dagster", "1.1.21", &["third>=1"]);
    write_wheel_asking(&wheels, "dagster-cloud", "1.1.21", &["dagster==1.1.21"]);
    let (output, said) = resolve_in(project.path(), &[]);
    assert!(output.status.success(), "{said}");
    said
}

#[test]
fn a_dagster_that_another_line_holds_back_for_years_is_a_warning() {
    insta::assert_snapshot!(held_back("dagster\ndagster-cloud\nthird<2\n"), @r"warning: dagster 1.1.21 is far behind 1.13.27, which the lines for Dagster's packages allow: `third<2` (requirements.txt:3) holds it back; change that line, or write `dagster==1.1.21` if that version is intended");
    insta::assert_snapshot!(held_back("dagster>=1\ndagster-cloud\n-c limits.txt\n"), @r"warning: dagster 1.1.21 is far behind 1.13.27, which the lines for Dagster's packages allow: `third<2` (constraint, limits.txt:1) holds it back; change that line, or write `dagster==1.1.21` if that version is intended");
    // Intended, or new enough.
    assert_eq!(held_back("dagster==1.1.21\ndagster-cloud\nthird<2\n"), "");
    assert_eq!(held_back("dagster<1.2\ndagster-cloud\nthird<2\n"), "");
    assert_eq!(held_back("dagster\ndagster-cloud\nthird\n"), "");
}

/// Seen with the lines of a real project: all of them in the heading, and ten thousand lines of uv's.
#[test]
fn the_deciding_lines_among_many_are_named() {
    let lines = "dagster-cloud\ndagster-aws\ndagster-gcp\ndagster-shared\ndagster-webserver==1.13.26\ndagster==1.13.27\n";
    let project = project(&[("requirements.txt", lines)]);
    let wheels = project.path().join("wheels");
    for release in ["26", "27"] {
        let asked = format!("dagster==1.13.{release}");
        write_wheel_asking(&wheels, "dagster-gcp", &format!("0.29.{release}"), &[&asked]);
        write_wheel_asking(&wheels, "dagster-webserver", &format!("1.13.{release}"), &[&asked]);
    }
    insta::assert_snapshot!(refusal_in(project.path(), &[]), @r"
    error: no release of Dagster's packages fits `dagster==1.13.27`, `dagster-webserver==1.13.26`, `dagster-cloud`, `dagster-shared` and 2 more
      at: [PROJECT]/requirements.txt:5
    hint: the newest release that all of them have is 1.13.27: write `dagster-webserver==1.13.27` instead of `dagster-webserver==1.13.26` ([PROJECT]/requirements.txt:5)
    ");
}

/// uv used it silently: the run ended with an error, or a change of the file led to the same deps PEX.
#[test]
fn an_override_of_a_variable_is_a_warning_too() {
    let project = project(&[
        ("requirements.txt", "dagster\ndagster-cloud==1.13.27\n"),
        ("overrides.txt", "dagster==1.13.29\n"),
    ]);
    let file = project.path().join("overrides.txt");
    let (output, said) = resolve_in(project.path(), &[("UV_OVERRIDE", file.to_str().unwrap())]);
    assert!(output.status.success(), "{said}");
    insta::assert_snapshot!(said, @r"warning: dagster 1.13.29 and dagster-cloud 1.13.27 are not of one release; an override says so");
}

/// Both packages are only required by the project, so no other package limits them.
#[test]
#[ignore = "dagster and the PEX runtime come from a package index"]
fn a_very_old_pick_of_the_projects_own_line_is_named() {
    let project = project_tree(&[]);
    let wheels = project.path().join("wheels");
    std::fs::create_dir(&wheels).unwrap();
    for version in ["1.43", "1.44"] {
        write_wheel_asking(&wheels, "zz-base", version, &[]);
    }
    write_wheel_asking(&wheels, "zz-files", "2.0", &["zz-base"]);
    write_wheel_asking(&wheels, "zz-files", "30.0", &["zz-base<1.44"]);
    let deps = |more: &str| {
        let lines = format!("zz-base\nzz-files{more}\ndagster==1.13.27\ndagster-cloud==1.13.27\n");
        std::fs::write(project.path().join("requirements.txt"), lines).unwrap();
        let mut command = pexpress_with_uv();
        command.arg("deps").arg(project.path()).arg(project.path().join("out"));
        let output = command.env("UV_FIND_LINKS", &wheels).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        said.lines().filter(|line| line.contains("far below")).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(
        deps(""),
        "warning: zz-files 2.0 is far below 30.0, which everything that needs it allows: the resolver kept zz-base 1.44 \
         instead, and they may not work together; add `zz-files>=30` to the requirements to get zz-base 1.43 with \
         zz-files 30.0"
    );
    assert_eq!(deps(">=30"), "");
    assert_eq!(deps("==2.0"), "");
}
