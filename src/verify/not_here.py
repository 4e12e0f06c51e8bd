"""Tells errors that may be specific to this machine (a variable, a server, a secret file) from faults of the code.

Runs before `load.py`, in the same program. An error is attributed to a variable that the load read and that is not
set if its text names the variable, if it is about a None in a statement that uses the value, or if the code raises it in
a test of the variable. Import errors are never attributed: finding them is the purpose of this load.
"""

import ast
import functools
import os
import re
import sys
import tokenize
import traceback

# Errors of servers that are not reached, or not let in, by the name of the class.
REMOTE = {
    "ConnectionError",
    "TimeoutError",
    "gaierror",
    "URLError",
    "RequestException",
    "ClientConnectionError",
    "ConnectError",
    "ConnectTimeout",
    "EndpointConnectionError",
    "NoCredentialsError",
    "NoRegionError",
    "DefaultCredentialsError",
    "ClientAuthenticationError",
    "CredentialUnavailableError",
    "OperationalError",
}

# Where pydantic reads settings: the package of its second version, and modules of the first.
PYDANTIC_SETTINGS = re.compile(r"(^|[/\\])pydantic(_settings[/\\]|([/\\]v1)?[/\\]env_settings\.)")

UNSET = re.compile(
    r"(?i)(environment|env)[ _]?var.*(not set|unset|missing|not found|not defined|undefined|required|must be set|empty)"
    r"|(missing|required|unset|undefined|must set|please set|set the).*(environment|env)[ _]?var"
)

# Directories that secrets are kept in, outside of any project.
SECRET_FILE = re.compile(r"/(secrets?|\.ssh|\.aws|\.azure|\.config/gcloud|\.snowflake|\.dbt|\.databrickscfg)(/|$)")


class Unset:
    """Environment variables that the user's code asks for, itself or through a library, and that are not set."""

    def __init__(self):
        here = os.path.realpath(os.getcwd())
        # The working directory is two levels below the site-packages of the source PEX; an image names its own.
        self.root = os.environ.pop("LOAD_ROOT", os.path.dirname(os.path.dirname(here)) + os.sep)
        self.users = {}
        # Name → lines of the user's that asked for it: (file, line, whether it asked for just this variable).
        self.asked = {}
        original = os._Environ.__getitem__

        def getitem(environ, key):
            try:
                return original(environ, key)
            except KeyError:
                self.note(os.fsdecode(key))
                raise

        os._Environ.__getitem__ = getitem

    def is_user(self, file):
        if file not in self.users:
            self.users[file] = os.path.isabs(file) and os.path.realpath(file).startswith(self.root)
        return self.users[file]

    def note(self, name):
        frame, direct = sys._getframe(2), True
        while frame and not self.is_user(frame.f_code.co_filename):
            file = frame.f_code.co_filename
            if file.startswith("<frozen importlib"):
                # What a library asks for as it is imported is its own affair.
                return
            direct = direct and re.search(r"(^<frozen |[/\\])(os|_collections_abc)(\.py|>)$", file)
            frame = frame.f_back
        if frame:
            file, line = frame.f_code.co_filename, frame.f_lineno
            self.asked.setdefault(name, set()).add((file, line, bool(direct) or is_written(name, file)))

    def names(self):
        """Those that are still not set."""
        return [name for name in self.asked if name not in os.environ]

    def behind(self, error):
        """Names of those that explain the error."""
        names, text = self.names(), str(error)
        if isinstance(error, KeyError) and error.args:
            key = error.args[0]
            key = os.fsdecode(key) if isinstance(key, bytes) else key
            if key in names:
                return [key]
        # The interpreter's own words for a name that is not defined, a missing attribute or a wrong argument.
        if not isinstance(error, (NameError, AttributeError, TypeError, SyntaxError)):
            named = [name for name in names if name != name.lower() and has_word(name, text)]
            if named:
                return named
        frames = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
        own = [place for place in frames if self.is_user(place[0])]
        if not own:
            return []
        files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
        code = UsersCode(file for file in files if file and self.is_user(file))
        failing = []
        if re.search(r"\bNone(Type)?\b", text):
            failing = [code.statement(*place) for place in own]
        elif own[-1] == frames[-1] or isinstance(error, SystemExit):
            failing = [code.condition(*own[-1])]
        return [name for name in names if code.depends(failing, self.asked[name])]


class UsersCode:
    """The statements of the user's modules, and which of them use what another one has set."""

    def __init__(self, files):
        self.trees = {file: parse(file) for file in files}

    def statement(self, file, line):
        """The innermost statement on a line."""
        if file not in self.trees:
            self.trees[file] = parse(file)
        found = None
        for node in ast.walk(self.trees[file]):
            if isinstance(node, ast.stmt) and node.lineno <= line <= node.end_lineno:
                found = node
        return found

    def condition(self, file, line):
        """What decides that an error is raised on a line: the `if` around it, or an `assert`."""
        node = self.statement(file, line)
        if not isinstance(node, (ast.Raise, ast.Expr)):
            return node if isinstance(node, ast.Assert) else None
        while node and not isinstance(node, (ast.If, ast.FunctionDef, ast.AsyncFunctionDef)):
            node = node.parent
        return node if isinstance(node, ast.If) else None

    def depends(self, failing, asked):
        """Whether one of the statements looks the variable up, or uses a name that goes back to that."""
        failing = [node for node in failing if node]
        if not failing:
            return False
        lookups = [self.statement(file, line) for file, line, direct in asked if direct]
        lookups = [node for node in lookups if node]
        words = {word for node in lookups for word in bound(node) + keywords(node)}
        statements = [node for tree in self.trees.values() for node in ast.walk(tree) if isinstance(node, ast.stmt)]
        statements = [(read(node), bound(node)) for node in statements]
        before = -1
        while before < len(words):
            before = len(words)
            words.update(word for uses, sets in statements if words.intersection(uses) for word in sets)
        return any(node in lookups or words.intersection(read(node)) for node in failing)


def parse(file):
    """The syntax tree, each node with its parent."""
    try:
        with tokenize.open(file) as source:
            tree = ast.parse(source.read())
    except (OSError, SyntaxError, ValueError):
        tree = ast.Module([], [])
    tree.parent = None
    for node in ast.walk(tree):
        for child in ast.iter_child_nodes(node):
            child.parent = node
    return tree


def own_nodes(statement):
    """The nodes of a statement, less those of the statements in it."""
    for child in ast.iter_child_nodes(statement):
        if not isinstance(child, ast.stmt) and not isinstance(getattr(child, "body", None), list):
            yield from ast.walk(child)


def word(node):
    return getattr(node, "id", None) or getattr(node, "attr", None)


def read(statement):
    """The names and attributes that it uses."""
    nodes = (node for node in own_nodes(statement) if isinstance(node, (ast.Name, ast.Attribute)))
    return [word(node) for node in nodes if isinstance(node.ctx, ast.Load)]


def bound(statement):
    """The names that it sets: variables, attributes, and the function that it returns from."""
    found = []
    for node in own_nodes(statement):
        if isinstance(getattr(node, "ctx", None), ast.Store):
            found.append(word(node.value) if isinstance(node, ast.Subscript) else word(node))
    node = statement if isinstance(statement, ast.Return) else None
    while node and not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        node = node.parent
    return [name for name in found + [getattr(node, "name", None)] if name]


def keywords(statement):
    """The keyword arguments that it gives: fields of an object, for the most part."""
    return [node.arg for node in own_nodes(statement) if isinstance(node, ast.keyword) and node.arg]


def has_word(name, text):
    return re.search(r"(?<!\w)%s(?!\w)" % re.escape(name), text)


@functools.lru_cache(maxsize=None)
def is_written(name, file):
    try:
        with tokenize.open(file) as source:
            return bool(has_word(name, source.read()))
    except (OSError, SyntaxError, ValueError):
        return False


def missing_settings(error, unset):
    """Settings that pydantic found no value for, if that is all that it has to say."""
    frames = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
    users = [at for at, file in enumerate(frames) if unset.is_user(file)]
    library = frames[users[-1] + 1 if users else 0 :]
    if type(error).__name__ != "ValidationError" or not any(PYDANTIC_SETTINGS.search(file) for file in library):
        return []
    faults = error.errors()
    if not all(str(fault["type"]).split(".")[-1] == "missing" for fault in faults):
        return []
    return [".".join(map(str, fault["loc"])) for fault in faults]


def unset_here(one, names):
    if len(names) == 1:
        return "the %s %s is not set here" % (one, names[0])
    return "%ss are not set here: %s" % (one, ", ".join(names))


def not_here(chain, unset):
    """Why an error may be one of this machine alone, or None."""
    if any(isinstance(error, ImportError) for error in chain):
        return None
    for error in reversed(chain):
        message = str(error)
        behind = unset.behind(error)
        if behind:
            return unset_here("environment variable", behind)
        settings = missing_settings(error, unset)
        if settings:
            return unset_here("setting", settings)
        if UNSET.search(message):
            named = re.search(r"[\"'`]([A-Z][A-Z0-9_]+)[\"'`]", message)
            if not named:
                return "a setting is missing here"
            if not os.environ.get(named[1]):
                return unset_here("environment variable", [named[1]])
        if type(error).__module__.startswith("dynaconf") and "is required" in message:
            return "a setting is missing here"
        if REMOTE.intersection(kind.__name__ for kind in type(error).__mro__):
            return "a server was not reached from here, or did not let this machine in"
        if isinstance(error, FileNotFoundError) and is_secret_file(error.filename, unset):
            return "the file %s is not here" % error.filename
    return None


def is_secret_file(file, unset):
    file = os.fsdecode(file) if isinstance(file, (str, bytes)) else ""
    return os.path.isabs(file) and not unset.is_user(file) and bool(SECRET_FILE.search(file))
