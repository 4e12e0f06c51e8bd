"""Refresh the state of a dg project's state-backed components, as `dg utils refresh-defs-state` does.

Arguments: the directory of the project, a directory for new states, a file with the latest versions at Dagster+ (the
`defs_state_info` of a location document, or null), and the file to write.

Runs where the project's dependencies are installed. It has no token and sends nothing: states that belong at Dagster+ are
left in the directory, for the process that started this one.
"""

import asyncio
import json
import pathlib
import re
import shutil
import sys
import traceback

# Source: the default of `dg plus deploy refresh-defs-state`. The third kind is refreshed when a code location loads.
REFRESHED = ("VERSIONED_STATE_STORAGE", "LOCAL_FILESYSTEM")


def storage_of(states, known, info_type, base):
    """A storage for states that keeps what is written to it, and what is made the latest version."""

    class Storage(base):
        def __init__(self):
            self.uploads, self.versions = [], {}

        def get_latest_defs_state_info(self):
            entries = {**(known or {}).get("info_mapping", {}), **{k: None for k, v in self.versions.items() if v is None}}
            for key, version in self.versions.items():
                if version is not None:
                    entries[key] = {"version": version, "create_timestamp": 0.0}
            named = [
                {"name": k, "info": {"version": v["version"], "createTimestamp": v["create_timestamp"]}}
                for k, v in entries.items()
                if v
            ]
            return info_type.from_graphql({"keyStateInfo": named})

        def download_state_to_path(self, key, version, path):
            raise NotImplementedError("states of earlier versions are not downloaded for a refresh (" + key + ")")

        def upload_state_from_path(self, key, version, path):
            kept = states / str(len(self.uploads))
            shutil.copyfile(path, kept)
            self.uploads.append({"artifact": artifact(key, version), "path": str(kept)})
            self.set_latest_version(key, version)

        def set_latest_version(self, key, version):
            self.versions[key] = version

    return Storage()


def artifact(key, version):
    """The name of a state at Dagster+. Source: `DefsStateStorage._get_artifact_key` of dagster 1.13.27."""
    return "__state__/" + re.sub(r"[^A-Za-z0-9._-]", "__", key) + "/" + version


async def refresh_all(components, project):
    async def one(component):
        try:
            await component.refresh_state(project)
        except Exception as error:
            return {"error": described(error), "traceback": traceback.format_exc()}
        return {"error": None, "traceback": None}

    return await asyncio.gather(*[one(component) for component in components])


def described(error):
    return traceback.format_exception_only(type(error), error)[-1].strip()


def refresh(project, states, known):
    try:
        from dagster._core.storage.defs_state.base import DefsStateStorage, set_defs_state_storage
        from dagster.components.component.state_backed_component import StateBackedComponent
        from dagster.components.core.component_tree import ComponentTree
        from dagster_shared.serdes.objects.models.defs_state_info import DefsStateInfo
    except ModuleNotFoundError as error:
        if str(error.name).split(".")[0] not in ("dagster", "dagster_shared"):
            raise
        return {"unsupported": str(error)}
    tree = ComponentTree.for_project(project)
    found = {}
    for component in tree.get_all_components(of_type=StateBackedComponent):
        config = component.defs_state_config
        # Components with one key have one state.
        if config.management_type.value in REFRESHED:
            found.setdefault(config.key, component)
    storage = storage_of(states, known, DefsStateInfo, DefsStateStorage)
    with set_defs_state_storage(storage):
        results = asyncio.run(refresh_all(found.values(), project))
    components = [{"key": key, **result} for key, result in zip(found, results)]
    return {"components": components, "uploads": storage.uploads, "versions": list(storage.versions.items())}


def main(project, states, known, answer):
    try:
        given = json.loads(pathlib.Path(known).read_text(encoding="utf-8"))
        result = refresh(pathlib.Path(project), pathlib.Path(states), given)
    except BaseException as error:
        result = {"error": described(error), "traceback": traceback.format_exc()}
    pathlib.Path(answer).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
