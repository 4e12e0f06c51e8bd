"""Read `dagster_cloud.yaml` texts as `dagster-cloud ci check` and `ci template` do.

A JSON list of texts on stdin, a JSON list of answers on stdout: `{"locations": [document, …]}` with defaults merged in
and nulls dropped, or `{"error": …}`. Each text is checked in a directory that has a directory `sub` and a file `file`.
"""

import json
import pathlib
import sys
import tempfile

from dagster_cloud_cli.commands.ci.checks import check_dagster_cloud_yaml
from dagster_cloud_cli.config import DagsterCloudConfigDefaultsMerger
from dagster_cloud_cli.config.models import load_dagster_cloud_yaml
from dagster_shared.utils import remove_none_recursively


def answer(text, path):
    path.write_text(text, encoding="utf-8")
    try:
        errors = check_dagster_cloud_yaml(path).errors
        if errors:
            return {"error": "; ".join(errors)}
        config = DagsterCloudConfigDefaultsMerger().process(load_dagster_cloud_yaml(text))
        document = remove_none_recursively(config.model_dump())
        return json.loads(json.dumps(document, allow_nan=False))
    except Exception as error:  # whatever stops the check or the merge is a refusal
        return {"error": f"{type(error).__name__}: {error}"}


with tempfile.TemporaryDirectory() as directory:
    root = pathlib.Path(directory)
    (root / "sub").mkdir()
    (root / "file").touch()
    texts = json.load(sys.stdin)
    json.dump([answer(text, root / "dagster_cloud.yaml") for text in texts], sys.stdout)
