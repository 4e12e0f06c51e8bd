"""Load one code location as the Dagster+ agent's code server does, and write what it defines to a JSON file.

Arguments: the file to write, and a JSON object with the keys of the location document that bear on loading
(`code_source`, `attribute`, `executable_path`, `working_directory`). Runs inside the location's own environment, so it
uses whatever dagster is there: only names that dagster has had since 1.5, looked at before they are used.

The working directory is first on `sys.path`, as it is for the agent's code server and for run workers.
"""

import glob
import importlib
import importlib.machinery
import importlib.util
import inspect
import json
import os
import re
import sys
import traceback

# What a process of a run imports besides the user's code: the instance, and the classes that it is configured with.
# Source: `DagsterCloudAgentInstance.config_defaults` of dagster_cloud 1.13.27. Older releases lack the later ones.
RUN_WORKER = (
    "dagster_cloud.instance",
    "dagster_cloud.storage.runs",
    "dagster_cloud.storage.event_logs",
    "dagster_cloud.storage.schedules",
    "dagster_cloud.storage.compute_logs",
    "dagster_cloud.secrets",
    "dagster_cloud.storage.defs_state",
)

# Packages of which the user's project may have a namesake.
DAGSTER = ("dagster", "dagster_cloud", "dagster_cloud_cli", "dagster_shared", "dagster_pipes")


class Unfamiliar(Exception):
    """Dagster's internals are not where this program looks for them: an odd release, or one to come."""


def check_familiar():
    """Look for the names that `load` needs, so that their absence is not taken for a fault of the project."""
    for name in ("dagster._grpc.server", "dagster._core.types.loadable_target_origin"):
        try:
            found = importlib.util.find_spec(name)
        except ModuleNotFoundError as error:
            if not name.startswith(str(error.name)):
                raise
            found = None
        if found is None:
            raise Unfamiliar("this dagster has no module " + name)


def import_run_worker():
    """Import what a run worker imports; the version of dagster-cloud."""
    for name in RUN_WORKER:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            missing = str(error.name)
            if name == RUN_WORKER[0] or "." not in missing or not (name + ".").startswith(missing + "."):
                raise
    from dagster_cloud.version import __version__

    return __version__


def impostors():
    """Files that are found under the name of one of Dagster's packages and are not it."""
    for name in DAGSTER:
        spec = importlib.machinery.PathFinder.find_spec(name)
        origin = spec and spec.origin
        if origin is None:
            continue
        top = os.path.dirname(os.path.dirname(origin) if os.path.basename(origin) == "__init__.py" else origin)
        if not glob.glob(os.path.join(glob.escape(top), name + "-*.dist-info")):
            yield os.path.relpath(origin), name


def library(error, root):
    """Name and version of the installed distribution that an error of importing or compiling is about, or None."""
    if not isinstance(error, (ImportError, SyntaxError)):
        return None
    file = error.filename if isinstance(error, SyntaxError) else None
    if file is None and isinstance(error, ImportError) and not isinstance(error, ModuleNotFoundError):
        file = error.path
    if file is None:
        frames = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
        files = [name for name in frames if os.path.isabs(name) and "importlib" not in name]
        file = files[-1] if files else None
    if not file or os.path.realpath(file).startswith(root) or "site-packages" not in file:
        return None
    top = re.split(r"site-packages[/\\]", file)[-1].replace("\\", "/").split("/")[0]
    if top in DAGSTER and isinstance(error, ModuleNotFoundError) and not str(error.name).startswith("dagster"):
        return None  # It imports the module of the code location.
    from importlib import metadata

    for distribution in metadata.distributions():
        if any(found.parts[0] == top for found in distribution.files or ()):
            return "%s %s" % (distribution.metadata["Name"], distribution.version)
    return None


def load(document):
    """The repositories of the code location, by name."""
    from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
    from dagster._grpc.server import LoadedRepositories

    source = document.get("code_source") or {}
    wanted = {
        "python_file": source.get("python_file"),
        "module_name": source.get("module_name"),
        "package_name": source.get("package_name"),
        "autoload_defs_module_name": source.get("autoload_defs_module_name"),
        "attribute": document.get("attribute"),
        "working_directory": document.get("working_directory") or ".",
    }
    origin = LoadableTargetOrigin(**{name: value for name, value in wanted.items() if value})
    arguments = {
        "loadable_target_origin": origin,
        "container_image": None,
        "entry_point": ["dagster"],
        "container_context": None,
    }
    loaded = LoadedRepositories(**known(LoadedRepositories, arguments))
    return dict(loaded.definitions_by_name)


def known(function, arguments):
    """Those of the arguments that this dagster's function takes."""
    taken = inspect.signature(function).parameters
    return {name: value for name, value in arguments.items() if name in taken}


def names(items):
    """Sorted names of definitions."""
    return sorted(item.name for item in items)


def describe(repository):
    """What a repository defines, by kind."""
    keys = getattr(repository, "asset_graph", None)
    if keys is not None and hasattr(keys, "get_all_asset_keys"):
        keys = keys.get_all_asset_keys()
    else:
        keys = getattr(repository, "assets_defs_by_key", {}).keys()
    jobs = [job for job in repository.get_all_jobs() if not job.name.startswith("__")]
    return {
        "assets": sorted(key.to_user_string() for key in keys),
        "jobs": names(jobs),
        "schedules": names(repository.schedule_defs),
        "sensors": names(repository.sensor_defs),
    }


def user_errors(error, hidden=False):
    """The chain of exceptions from the one that dagster raised down to the user's own, outermost first; `hidden` takes
    in those that a `raise … from None` hides."""
    chain = []
    while error is not None and error not in chain:
        chain.append(error)
        error = getattr(error, "user_exception", None) or error.__cause__ or (
            None if error.__suppress_context__ and not hidden else error.__context__
        )
    return chain


def is_wrapper(error, inner):
    """Whether an error of dagster's only says that `inner` was raised while it loaded the code location."""
    return getattr(error, "user_exception", None) is inner or type(error).__name__ == "DagsterImportError"


def trim(chain, unset):
    """Take this program's frames, and those before the first one of the user's code, out of the tracebacks."""
    own = main.__code__.co_filename
    for error in chain:
        frames = []
        entry = error.__traceback__
        while entry is not None:
            if entry.tb_frame.f_code.co_filename != own:
                frames.append(entry)
            entry = entry.tb_next
        users = [at for at, frame in enumerate(frames) if unset.is_user(frame.tb_frame.f_code.co_filename)]
        frames = frames[users[0] if users else 0 :]
        if isinstance(error, SyntaxError) and not users and unset.is_user(error.filename or ""):
            # It names its file and line itself, and who imported that file is Dagster.
            frames = []
        for entry, following in zip(frames, frames[1:] + [None]):
            entry.tb_next = following
        error.__traceback__ = frames[0] if frames else None


def main():
    output, document = sys.argv[1], json.loads(sys.argv[2])
    unset = Unset()
    try:
        check_familiar()
        import dagster

        result = {
            "dagster": dagster.__version__,
            "dagster_cloud": import_run_worker(),
            "repositories": {name: describe(found) for name, found in load(document).items()},
        }
    except BaseException as error:  # a sys.exit() in user code is a failure to load too
        chain = user_errors(error)
        text = "".join(traceback.format_exception_only(type(chain[-1]), chain[-1])).strip()
        if isinstance(chain[0], Unfamiliar):
            excuse = "pexpress cannot load this release of dagster here"
        else:
            excuse = not_here(user_errors(error, hidden=True), unset)
        about = library(chain[-1], unset.root)
        trim(chain, unset)
        # Dagster's wrapper adds frames of its own, and nothing on the error.
        while len(chain) > 1 and is_wrapper(chain[0], chain[1]):
            chain.pop(0)
        notes = ["%s of the project hides the package %s" % found for found in impostors()]
        result = {
            "error": "%s (%s)" % (text, "; ".join(notes)) if notes else text,
            "traceback": "".join(traceback.format_exception(type(chain[0]), chain[0], chain[0].__traceback__)),
            "not_here": None if notes else excuse,
            "library": about,
        }
    with open(output, "w", encoding="utf-8") as file:
        json.dump(result, file)


main()
