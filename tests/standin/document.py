"""GraphQL documents as far as an answer needs them: the operation, its root fields, and what is selected of each.

Whether a document and its variables keep to schema.graphql is not asked here: every request and its answer are in the
journal, and tests/it/support/graphql.rs checks them with a GraphQL library.
"""

import json
import re
from dataclasses import dataclass, field

TOKEN = re.compile(
    r"""[\s,]+|\#[^\n]*
    |(?P<name>[_A-Za-z]\w*)
    |(?P<number>-?\d+(\.\d+)?([eE][+-]?\d+)?)
    |(?P<text>"(\\.|[^"\\\n])*")
    |(?P<mark>\.\.\.|[!$()=:\[\]{}])""",
    re.VERBOSE | re.ASCII,
)
CONSTANTS = {"true": True, "false": False, "null": None}
# Root fields of schema.graphql that may be null.
NULLABLE = {
    "generateServerlessPexUrl",
    "getBranchDeploymentName",
    "latestDefsStateInfo",
    "markCliEvent",
    "organizationSettings",
    "serverless",
}


@dataclass
class Field:
    key: str
    name: str
    arguments: dict
    selections: list


@dataclass
class Fragment:
    """Selections for values of one type; of a named fragment they are looked up in `fragments` of the document."""

    type_name: str = None
    selections: list = field(default_factory=list)


@dataclass
class Variable:
    name: str


class Document:
    """One operation and its fragments; raises ValueError on a text that is not that."""

    def __init__(self, text):
        self.name, self.defaults, self.fields = None, {}, None
        self._tokens, self._fragments = list(tokens(text)), {}
        while self._tokens:
            self._definition()
        if not self.fields:
            raise ValueError("no operation")

    def answer(self, root, variables, failing=None):
        """(data, errors): what was selected of what the methods of `root`, named like the root fields, return.

        Fields of `failing` fail with its text: they are null where the schema allows that, otherwise all data is.
        """
        values, failing = self.defaults | variables, failing or {}
        data, errors = {}, []
        for f in self.fields:
            if f.name in failing:
                errors.append({"message": failing[f.name], "path": [f.key]})
                if data is not None:
                    data = {**data, f.key: None} if f.name in NULLABLE else None
                continue
            value = self._selected(getattr(root, f.name)(**given(f.arguments, values)), f.selections)
            if data is not None:
                data[f.key] = value
        return data, errors

    def _selected(self, value, selections):
        if value is None or not selections:
            return value
        if isinstance(value, list):
            return [self._selected(item, selections) for item in value]
        wanted = {}
        self._collect(value, selections, wanted)
        return {key: self._selected(value.get(name), inner) for key, (name, inner) in wanted.items()}

    def _collect(self, value, selections, wanted):
        for selection in selections:
            if isinstance(selection, Field):
                wanted.setdefault(selection.key, (selection.name, []))[1].extend(selection.selections)
            elif selection.type_name in (None, value["__typename"]):
                self._collect(value, selection.selections, wanted)

    # -- reading

    def _definition(self):
        kind = "query" if self._next_is("{") else self._take("name")
        if kind == "fragment":
            fragment = self._fragment(self._take("name"))
            self._take("on")
            fragment.type_name = self._take("name")
            fragment.selections += self._selections()
            return
        if self.fields is not None or kind not in ("query", "mutation"):
            raise ValueError(f"unexpected `{kind}`")
        if not self._next_is("{") and not self._next_is("("):
            self.name = self._take("name")
        if self._skip("("):
            while not self._skip(")"):
                self._declaration()
        self.fields = self._selections()
        if not all(isinstance(one, Field) for one in self.fields):
            raise ValueError("a fragment at the root")

    def _declaration(self):
        self._take("$")
        name = self._take("name")
        self._take(":")
        self._type()
        if self._skip("="):
            self.defaults[name] = self._value()

    def _type(self):
        if self._skip("["):
            self._type()
            self._take("]")
        else:
            self._take("name")
        self._skip("!")

    def _selections(self):
        self._take("{")
        found = []
        while not self._skip("}"):
            found.append(self._spread() if self._skip("...") else self._field())
        return found

    def _spread(self):
        if self._skip("on"):
            return Fragment(self._take("name"), self._selections())
        return Fragment(None, self._selections()) if self._next_is("{") else self._fragment(self._take("name"))

    def _fragment(self, name):
        return self._fragments.setdefault(name, Fragment())

    def _field(self):
        key = name = self._take("name")
        if self._skip(":"):
            name = self._take("name")
        arguments = self._members(")") if self._skip("(") else {}
        return Field(key, name, arguments, self._selections() if self._next_is("{") else [])

    def _members(self, end):
        found = {}
        while not self._skip(end):
            name = self._take("name")
            self._take(":")
            found[name] = self._value()
        return found

    def _value(self):
        if self._skip("$"):
            return Variable(self._take("name"))
        if self._skip("{"):
            return self._members("}")
        if self._skip("["):
            found = []
            while not self._skip("]"):
                found.append(self._value())
            return found
        kind, text = self._tokens.pop(0) if self._tokens else (None, "the end")
        if kind == "name":
            return CONSTANTS.get(text, text)
        if kind in ("number", "text"):
            return json.loads(text)
        raise ValueError(f"`{text}` in the place of a value")

    def _next_is(self, text):
        return bool(self._tokens) and self._tokens[0][1] == text

    def _skip(self, text):
        return self._next_is(text) and bool(self._tokens.pop(0))

    def _take(self, wanted):
        """The next token, which is of this kind or is this text."""
        kind, text = self._tokens.pop(0) if self._tokens else (None, "the end")
        if wanted not in (kind, text):
            raise ValueError(f"`{text}` in the place of `{wanted}`")
        return text


def tokens(text):
    position = 0
    while position < len(text):
        found = TOKEN.match(text, position)
        if not found:
            raise ValueError(f"unexpected character {text[position]!r}")
        position = found.end()
        kind = found.lastgroup
        if kind:
            yield kind, found.group(kind)


def given(value, variables):
    """The value with its variables replaced; an argument or member of which the variable is not given is left out."""
    if isinstance(value, Variable):
        return variables[value.name]
    if isinstance(value, list):
        return [given(item, variables) for item in value]
    if isinstance(value, dict):
        there = {k: v for k, v in value.items() if not isinstance(v, Variable) or v.name in variables}
        return {key: given(item, variables) for key, item in there.items()}
    return value
