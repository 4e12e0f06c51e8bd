"""What GitHub publishes of its REST API (an OpenAPI 3.0 document), and whether requests and replies keep to it."""

import copy
import json
import pathlib
import re
from urllib.parse import unquote

try:
    import jsonschema
except ImportError:  # Then values are not checked against schemas; everything else is.
    jsonschema = None

# Members that the prose of the documentation limits and the schemas do not.
LONGEST = {"description": 140}


class Operation:
    """One method of one path."""

    def __init__(self, contract, template, method, node):
        self.id = node["operationId"]
        self.method = method.upper()
        self._contract = contract
        self._node = node
        self._known = {}
        names = re.findall(r"{(\w+)}", template)
        # A commit's reference may hold slashes; no other parameter may.
        parts = [f"(?P<{n}>.+)" if n == "ref" else f"(?P<{n}>[^/]+)" for n in names]
        self.pattern = re.compile(re.sub(r"{\w+}", lambda _: parts.pop(0), template.replace(".", r"\.")))
        parameters = [contract.resolve(p) for p in node.get("parameters", [])]
        self.parameters = {(p["in"], p["name"]): p for p in parameters}

    def problems(self, path, query, body):
        """What a strict reader objects to. `query` is a list of pairs; `body` the parsed JSON, or None."""
        found = []
        values = {("path", n): unquote(v) for n, v in self.pattern.fullmatch(path).groupdict().items()}
        values |= {("query", n): v for n, v in query}
        if len(values) != len(set(values)) or len({n for n, _ in query}) != len(query):
            found.append("a query parameter twice")
        for key, text in values.items():
            if key not in self.parameters:
                found.append(f"unknown parameter `{key[1]}`")
                continue
            found += self._contract.errors(typed(text, self.parameters[key]["schema"]), self.parameters[key]["schema"])
        for key, parameter in self.parameters.items():
            if parameter.get("required") and key not in values:
                found.append(f"parameter `{key[1]}` is missing")
        return found + self._body_problems(body)

    def _body_problems(self, body):
        wanted = self._node.get("requestBody")
        if wanted is None:
            return ["a body where none is taken"] if body is not None else []
        schema = wanted["content"]["application/json"]["schema"]
        if body is None:
            return ["no body"] if wanted.get("required", True) else []
        found = self._contract.errors(body, schema)
        if isinstance(body, dict):
            found += [f"unknown member `{name}`" for name in body if name not in schema["properties"]]
            for name, limit in LONGEST.items():
                if len(body.get(name) or "") > limit:
                    found.append(f"`{name}` is longer than {limit} characters")
        return found

    def example(self, status):
        """GitHub's own example of this reply, to be filled in."""
        content = self._contract.resolve(self._node["responses"][str(status)])["content"]["application/json"]
        first = next(iter(content["examples"].values()))
        return copy.deepcopy(self._contract.resolve(first)["value"])

    def reply_problems(self, status, body):
        """Whether a reply of this stand-in is one that GitHub could give.

        Not held against it: what GitHub's own examples break, and null for what is gone (accounts, forks), which
        GitHub sends where its description allows none.
        """
        reply = self._node["responses"].get(str(status))
        if reply is None:
            return []
        content = self._contract.resolve(reply).get("content", {}).get("application/json")
        if content is None or "schema" not in content:
            return []
        if status not in self._known:
            example = self.example(status) if "examples" in content else None
            self._known[status] = self._contract.errors(example, content["schema"])
        found = self._contract.errors(body, content["schema"])
        return [f"reply: {p}" for p in found if p not in self._known[status] and ": None is not" not in p]


class Contract:
    def __init__(self, path):
        self._document = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        self._schemas = {}
        self.operations = []

    def serve(self, template, method):
        """Take this method of this path into what is understood."""
        operation = Operation(self, template, method, self.node(template, method))
        self.operations.append(operation)
        return operation

    def node(self, template, method):
        return self._document["paths"][template][method]

    def find(self, method, path):
        """(operation, whether the path is known at all)."""
        matching = [o for o in self.operations if o.pattern.fullmatch(path)]
        return next((o for o in matching if o.method == method), None), bool(matching)

    def resolve(self, node):
        while "$ref" in node:
            reference, node = node["$ref"], self._document
            for part in reference.removeprefix("#/").split("/"):
                node = node[part]
        return node

    def errors(self, value, schema):
        """Where `value` breaks `schema`, as lines of text."""
        if jsonschema is None:
            return []
        validator = jsonschema.Draft7Validator(self.plain(schema))
        return [
            f"{'/'.join(map(str, e.absolute_path)) or '.'}: {e.message[:200]}" for e in validator.iter_errors(value)
        ]

    def plain(self, schema):
        """An OpenAPI 3.0 schema as JSON Schema: references replaced, `nullable` spelt out."""
        if isinstance(schema, list):
            return [self.plain(item) for item in schema]
        if not isinstance(schema, dict):
            return schema
        if isinstance(schema.get("$ref"), str):
            reference = schema["$ref"]
            if reference not in self._schemas:
                self._schemas[reference] = {}  # of a schema that contains itself, the inside is not checked
                self._schemas[reference] = self.plain(self.resolve(schema))
            return self._schemas[reference]
        found = {
            key: self.plain(value)
            for key, value in schema.items()
            if key not in ("nullable", "example", "discriminator")
        }
        return {"anyOf": [{"type": "null"}, found]} if schema.get("nullable") is True else found


def typed(text, schema):
    """The value that a path segment or a query parameter stands for."""
    kind = schema.get("type")
    if kind == "integer" and re.fullmatch(r"-?\d+", text):
        return int(text)
    if kind == "boolean" and text in ("true", "false"):
        return text == "true"
    return text
