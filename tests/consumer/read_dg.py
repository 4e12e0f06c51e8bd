"""Read dg projects and workspaces as `dg plus deploy` does.

A JSON list of file trees (`{path: text}`) on stdin, a JSON list of answers on stdout: `{"locations": [document, …]}`,
nulls dropped and `build.directory` relative to the tree, or `{"error": …}`.
"""

import contextlib
import json
import os
import pathlib
import sys
import tempfile

import yaml
from dagster_cloud_cli.commands.ci.checks import check_dagster_cloud_yaml
from dagster_dg_cli.cli.utils import create_temp_dagster_cloud_yaml_file
from dagster_dg_core.context import DgContext
from dagster_shared.utils import remove_none_recursively


def answer(files):
    with tempfile.TemporaryDirectory() as directory:
        root = pathlib.Path(directory).resolve() / "tree"
        state = root.parent / "state"
        state.mkdir()
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        try:
            context = DgContext.for_workspace_or_project_environment(root, {})
            written = create_temp_dagster_cloud_yaml_file(context, str(state))
            errors = check_dagster_cloud_yaml(pathlib.Path(written)).errors
            if errors:
                return {"error": "; ".join(errors)}
            locations = remove_none_recursively(yaml.safe_load(pathlib.Path(written).read_text()))["locations"]
            for location in locations:
                build = location.get("build", {})
                if "directory" in build:
                    build["directory"] = os.path.relpath(build["directory"], root)
            return {"locations": locations}
        except (Exception, SystemExit) as error:  # whatever stops the deploy is a refusal
            return {"error": f"{type(error).__name__}: {error}"}


trees = json.load(sys.stdin)
with contextlib.redirect_stdout(sys.stderr):
    answers = [answer(files) for files in trees]
json.dump(answers, sys.stdout)
