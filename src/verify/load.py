"""Load one code location as the Dagster+ agent's code server does, and write what it defines to a JSON file.

Arguments: the file to write, and a JSON object with the keys of the location document that bear on loading
(`code_source`, `attribute`, `executable_path`, `working_directory`). Runs inside the location's own environment, so it
uses whatever dagster is there: only names that dagster has had since 1.5, looked at before they are used.
"""

import inspect
import json
import sys
import traceback


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


def user_errors(error):
    """The chain of exceptions from the one that dagster raised down to the user's own, outermost first."""
    chain = []
    while error is not None and error not in chain:
        chain.append(error)
        error = getattr(error, "user_exception", None) or error.__cause__ or (
            None if error.__suppress_context__ else error.__context__
        )
    return chain


def main():
    output, document = sys.argv[1], json.loads(sys.argv[2])
    try:
        import dagster

        result = {
            "dagster": dagster.__version__,
            "repositories": {name: describe(found) for name, found in load(document).items()},
        }
    except BaseException as error:  # a sys.exit() in user code is a failure to load too
        innermost = user_errors(error)[-1]
        result = {
            "error": "".join(traceback.format_exception_only(type(innermost), innermost)).strip(),
            "traceback": "".join(traceback.format_exception(type(error), error, error.__traceback__)),
        }
    with open(output, "w", encoding="utf-8") as file:
        json.dump(result, file)


main()
