"""Do with a source PEX and deps PEXes what the Dagster+ agent does, with the agent's own classes.

`dagster_cloud.pex.grpc.server.manager.MultiPexManager` asks `PexS3Registry` to unpack the files, starts
`dagster api grpc` in the environment that the registry returns, and hands out dagster's own gRPC client. Nothing of it
is imitated: this script only stands where the agent's code server would call them.

Usage: serve_location.py PEX_DIR LOCATION.json ANSWER.json [MODULE]
LOCATION.json: a location document as dagster_cloud.yaml has it, with `pex_metadata.pex_tag`.
ANSWER.json is written: repositories, and for each its assets and schedules, or the error. (The code server inherits
stdout, so stdout is no place for it.) With MODULE, all its assets are materialised too, in the environment and the
working directory that the registry gives, as a run worker has them; `materialized` then holds the exit code.
The environment must say S3_PEX_DISABLED=1, VENVS_ROOT and PEX_ROOT. Exit code: 0 loaded, 1 not loaded.
"""

import json
import os
import subprocess
import sys
import time

from dagster._serdes import deserialize_value
from dagster._utils.error import SerializableErrorInfo
from dagster_cloud.pex.grpc.server.manager import MultiPexManager
from dagster_cloud.pex.grpc.server.registry import PexS3Registry
from dagster_cloud.pex.grpc.types import PexServerHandle
from dagster_cloud_cli.core.workspace import CodeLocationDeployData, PexMetadata

try:
    from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteRepositoryOrigin
except ImportError:  # before dagster 1.11
    from dagster._core.remote_representation.origin import GrpcServerCodeLocationOrigin, RemoteRepositoryOrigin

START_LIMIT_SECONDS = 300


class LoadError(Exception):
    """The agent, or the code server, refused; the text is theirs."""


def deploy_data(document):
    # Older agents do not know every kind of source.
    source = {kind: value for kind, value in document.get("code_source", {}).items() if value is not None}
    return CodeLocationDeployData(
        pex_metadata=PexMetadata(**document["pex_metadata"]),
        **source,
        working_directory=document.get("working_directory"),
        attribute=document.get("attribute"),
    )


def started_client(manager, handle):
    """The client of the server that the manager starts in the background."""
    limit = time.monotonic() + START_LIMIT_SECONDS
    while time.monotonic() < limit:
        answer = manager.get_pex_grpc_client_or_error(handle)
        if not isinstance(answer, SerializableErrorInfo):
            return answer
        if manager.get_error_pex_servers():
            raise LoadError(answer.to_string())
        time.sleep(0.2)
    raise LoadError(f"no code server after {START_LIMIT_SECONDS} s")


def listed_repositories(client, process):
    """What `ListRepositories` answers, once the server listens."""
    limit = time.monotonic() + START_LIMIT_SECONDS
    while True:
        try:
            answer = deserialize_value(client.list_repositories())
            break
        except Exception as error:  # the server is still starting: dagster's client raises its own kinds
            if process.poll() is not None:
                raise LoadError(f"the code server ended with {process.returncode}") from error
            if time.monotonic() > limit:
                raise
            time.sleep(0.2)
    if isinstance(answer, SerializableErrorInfo):
        raise LoadError(answer.to_string())
    return answer


def repository_content(client, location_name, repository_name):
    origin = RemoteRepositoryOrigin(
        GrpcServerCodeLocationOrigin(
            host="localhost", port=client.port, socket=client.socket, location_name=location_name
        ),
        repository_name,
    )
    snapshot = deserialize_value(client.external_repository(origin))
    if isinstance(snapshot, SerializableErrorInfo):
        raise LoadError(snapshot.to_string())
    return {
        "assets": sorted(node.asset_key.to_user_string() for node in snapshot.asset_nodes),
        "schedules": sorted(schedule.name for schedule in snapshot.schedules),
    }


def load(pex_dir, document):
    manager = MultiPexManager(local_pex_files_dir=pex_dir, watchdog_run_interval=0)
    name = document["location_name"]
    handle = PexServerHandle("prod", name, int(time.time()))
    manager.create_pex_server(handle, deploy_data(document), instance_ref=None)
    client = started_client(manager, handle)
    [server] = manager.get_active_pex_servers()
    try:
        answer = listed_repositories(client, server.grpc_server_process)
        names = [symbol.repository_name for symbol in answer.repository_symbols]
        return {repository: repository_content(client, name, repository) for repository in names}
    finally:
        server.heartbeat_shutdown_event.set()
        server.grpc_server_process.kill()
        server.grpc_server_process.wait()


def materialize(pex_dir, document, module):
    executable = PexS3Registry(pex_dir).get_pex_executable(PexMetadata(**document["pex_metadata"]))
    command = [executable.source_path, "-m", "dagster", "asset", "materialize", "--select", "*", "-m", module]
    environment = {**os.environ, **executable.environ}
    return subprocess.run(command, env=environment, cwd=executable.working_directory, check=False).returncode


def main():
    pex_dir, document_file, answer_file, *modules = sys.argv[1:]
    with open(document_file, encoding="utf-8") as file:
        document = json.load(file)
    try:
        answer = {"repositories": load(pex_dir, document)}
        for module in modules:
            answer["materialized"] = materialize(pex_dir, document, module)
    except LoadError as error:
        answer = {"error": str(error)}
    with open(answer_file, "w", encoding="utf-8") as file:
        json.dump(answer, file)
    sys.exit(1 if "error" in answer else 0)


if __name__ == "__main__":
    main()
