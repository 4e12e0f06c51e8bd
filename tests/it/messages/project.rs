//! Messages about the files of a project; none of them needs a network.

use super::{GONE, checked, project, said};
use crate::support::pexpress;

#[test]
fn no_project_file() {
    insta::assert_snapshot!(checked(&[("dagster_cloud.yaml", GONE)]), @r#"
    error: `[PROJECT]` has no code locations: no dagster_cloud.yaml (or .yml), no dg.toml, no pyproject.toml with [tool.dg]
    hint: use the path of the file, or of its directory; `pexpress init` writes one
    "#);
}

#[test]
fn file_not_found() {
    let dir = project(&[]);
    insta::assert_snapshot!(said(pexpress().args(["check", "dagster_clod.yaml"]), dir.path()), @r#"
    error: `dagster_clod.yaml` does not exist
    hint: did you mean `dagster_cloud.yaml`?
    "#);
}

#[test]
fn invalid_yaml() {
    let text = "locations:\n  - location_name: shop\n   code_source:\n      module_name: shop.definitions\n";
    insta::assert_snapshot!(checked(&[("dagster_cloud.yaml", text)]), @r#"
    error: this is not valid YAML: while parsing a block collection, did not find expected '-' indicator
      at: dagster_cloud.yaml:3:4
    hint: compare the indentation of this line with that of the lines above it
    "#);
}

#[test]
fn unknown_key() {
    let text = "locations:\n  - location_name: shop\n    code_sorce:\n      module_name: shop.definitions\n";
    insta::assert_snapshot!(checked(&[("dagster_cloud.yaml", text)]), @r#"
    error: unknown key `code_sorce` in code location `shop`
      at: dagster_cloud.yaml:3:5
    hint: did you mean `code_source`?
    "#);
}

#[test]
fn misspelt_module() {
    insta::assert_snapshot!(checked(&[("dagster_cloud.yaml", &super::ONE.replace("definitions", "defintions"))]), @r#"
    warning: `module_name: shop.defintions` of code location `shop`: there is no module `defintions` in `shop`; did you mean `shop.definitions`?
      at: dagster_cloud.yaml:4:20
    "#);
}

#[test]
fn pythons_disagree() {
    let toml = "[project]\nname = \"shop\"\nversion = \"1\"\nrequires-python = \">=3.12\"\ndependencies = [\"dagster\", \"dagster-cloud\"]\n";
    insta::assert_snapshot!(
        checked(&[("requirements.txt", GONE), ("pyproject.toml", toml), (".python-version", "3.10\n")]),
        @r#"
    error: the files disagree about the Python to build for: .python-version says 3.10, and pyproject.toml says requires-python = ">=3.12"
      at: pyproject.toml:4:19
    hint: set --python-version, or deploy them in separate runs with --location
    "#
    );
}

#[test]
fn no_requirements() {
    let dir = project(&[("requirements.txt", GONE)]);
    insta::assert_snapshot!(said(pexpress().args(["deploy", ".", "out", "--dry-run"]), dir.path()), @r#"
    error: `[PROJECT]` has no requirements.txt, setup.py or pyproject.toml
      at: dagster_cloud.yaml:2:5
    hint: add one that names dagster and dagster-cloud, or set `build.directory` to the directory that has it
    "#);
}

#[test]
fn lfs_pointer() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";
    insta::assert_snapshot!(said_of_source(&[("shop/data.parquet", pointer)]), @"warning: `shop/data.parquet` is a Git LFS pointer and not the content that it should have; set `lfs: true` for actions/checkout, or run `git lfs pull`");
}

#[test]
fn secret_is_shipped() {
    insta::assert_snapshot!(said_of_source(&[(".env", "PASSWORD=1\n")]), @"warning: `.env` looks like it contains secrets and is shipped; add it to .pexignore to leave it out");
}

#[test]
fn hidden_module() {
    insta::assert_snapshot!(said_of_source(&[("types.py", "")]), @"warning: `types.py` hides Python's own module `types`: every import of `types` gets this file; rename it");
}

/// What building the source PEX says.
fn said_of_source(files: &[(&str, &str)]) -> String {
    let dir = project(files);
    said(crate::support::pexpress_with_uv().args(["source", ".", "out"]), dir.path())
}
