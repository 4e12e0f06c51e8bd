"""Hold converted version constraints against poetry-core's own reading of them.

Reads a JSON list of `[constraint, requirement line]` from standard input and prints a line for each pair that some
version distinguishes. Pre-releases count only where the constraint names one.
"""

import itertools
import json
import sys

from packaging.requirements import Requirement
from poetry.core.constraints.version import Version, parse_constraint

NUMBERS = ["0", "1", "2", "3", "4", "5", "15", "16", "17"]
VERSIONS = [".".join(parts) for parts in itertools.product("012345", NUMBERS, "0123459")]
VERSIONS += ["1.2.3.4", "1.2.3.9", "0.1.2.9", "2021.3", "2021.4", "2021.9", "2022.0", "1!2.0", "1!3.0", "1.0a2"]

for constraint, line in json.load(sys.stdin):
    theirs = parse_constraint(constraint)
    ours = Requirement(line).specifier
    for version in VERSIONS:
        if ours.contains(version, prereleases=True) != theirs.allows(Version.parse(version)):
            print(f"{constraint}: {line} differs at {version}")
            break
