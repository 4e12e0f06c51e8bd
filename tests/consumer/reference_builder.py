"""Collect and build one project with dagster-cloud-cli's own builder, for a comparison side by side.

Usage: reference_builder.py PROJECT OUT_DIR X.Y ANSWER.json
ANSWER.json is written: `local_packages` (relative to the project, in the builder's order), `requirements` (lines), and
`source_pex` (path). The dependencies are not built here: that takes half a minute and has a test of its own.
"""

import json
import os
import sys

from dagster_cloud_cli.core.pex_builder import deps, source
from packaging.version import Version


def main():
    project, out_dir, python_version, answer_file = sys.argv[1:]
    version = Version(python_version)
    local, requirements = deps.get_deps_requirements(project, version)
    packages = local.local_package_paths
    source_pex = source.build_source_pex(project, packages, out_dir, version)
    answer = {
        "local_packages": [os.path.relpath(path, project) for path in packages],
        "requirements": requirements.requirements_txt.splitlines(),
        "source_pex": source_pex,
    }
    with open(answer_file, "w", encoding="utf-8") as file:
        json.dump(answer, file)


if __name__ == "__main__":
    main()
