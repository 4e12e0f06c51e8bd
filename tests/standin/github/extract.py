"""Take what the stand-in needs out of the OpenAPI document that GitHub publishes.

    python tests/standin/github/extract.py api.github.com.json > tests/standin/github/operations.json

The result is an OpenAPI document too: the operations that are served, with their parameters, the schemas of their
bodies and GitHub's examples of the replies. The schemas of replies, which make up most of the 13 MB, are left out.
"""

import json
import pathlib
import sys

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent))

from contract import Contract  # noqa: E402
from service import Service  # noqa: E402


def extract(contract):
    paths = {}
    for template, method in Service.PATHS:
        paths.setdefault(template, {})[method] = operation(contract, contract.node(template, method))
    return {"openapi": "3.0.3", "paths": paths}


def operation(contract, node):
    found = {"operationId": node["operationId"]}
    found["parameters"] = [bare(contract.resolve(p)) for p in node.get("parameters", [])]
    if "requestBody" in node:
        found["requestBody"] = bare(node["requestBody"])
    found["responses"] = {
        status: reply(contract, contract.resolve(node["responses"][status]))
        for status in node["responses"]
        if status.startswith("2")
    }
    return found


def reply(contract, node):
    examples = node.get("content", {}).get("application/json", {}).get("examples", {})
    first = {name: contract.resolve(example) for name, example in list(examples.items())[:1]}
    return {"content": {"application/json": {"examples": first}}} if first else {}


def bare(node):
    """Without descriptions and examples, which are for people. A member of that name is a schema, not a text."""
    if isinstance(node, list):
        return [bare(item) for item in node]
    if not isinstance(node, dict):
        return node
    left_out = {key for key in ("description", "example", "summary") if isinstance(node.get(key), str)} | {"examples"}
    return {key: bare(value) for key, value in node.items() if key not in left_out}


if __name__ == "__main__":
    print(json.dumps(extract(Contract(sys.argv[1])), indent=1))
