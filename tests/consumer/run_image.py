"""Start the code server of an unpacked image as the Dagster+ agents do, with the agents' own command and variables.

What a container runtime adds is done here by hand: /proc and /dev, the root directory, the working directory, the user,
and the variables of the image's config. Needs root, and a mount namespace of its own: run it under `unshare --mount`.

Usage: run_image.py ROOTFS CONFIG.json LOCATION.json ANSWER.json [UID]
CONFIG.json: the config of the image. LOCATION.json: a location document with `code_source` and `image`.
ANSWER.json is written: repositories with their assets and schedules, the executable of the code server and the image
that it was told; or the error. Exit code: 0 loaded, 1 not loaded.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile

from dagster._core.instance import DagsterInstance
from dagster._grpc.client import DagsterGrpcClient
from dagster._serdes import deserialize_value
from dagster_cloud.workspace.user_code_launcher.utils import get_grpc_server_env
from dagster_cloud_cli.core.workspace import CodeLocationDeployData

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from serve_location import LoadError, listed_repositories, repository_content  # noqa: E402


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def started(rootfs, config, document, port, uid, instance_ref):
    execution = config["config"]
    if execution.get("Entrypoint") or execution.get("Cmd"):
        raise LoadError("the image has an entry point or a command")
    data = CodeLocationDeployData(
        image=document["image"],
        working_directory=document.get("working_directory"),
        attribute=document.get("attribute"),
        **{kind: value for kind, value in document["code_source"].items() if value is not None},
    )
    variables = dict(pair.split("=", 1) for pair in execution["Env"])
    variables.update(get_grpc_server_env(data, port, document["location_name"], instance_ref))
    variables.update({"HOME": "/tmp", "DAGSTER_HOME": "/tmp"})

    def enter():
        os.chroot(rootfs)
        os.chdir(execution["WorkingDir"])
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)

    # The file is looked up on the PATH of the variables, inside the new root.
    return subprocess.Popen(data.get_grpc_server_command(), env=variables, preexec_fn=enter)


def main():
    rootfs, config_file, document_file, answer_file, *uids = sys.argv[1:]
    with open(config_file, encoding="utf-8") as file:
        config = json.load(file)
    with open(document_file, encoding="utf-8") as file:
        document = json.load(file)
    for name in ("proc", "dev"):
        os.makedirs(f"{rootfs}/{name}", exist_ok=True)
        subprocess.run(["mount", "--rbind", f"/{name}", f"{rootfs}/{name}"], check=True)
    port = free_port()
    with tempfile.TemporaryDirectory() as home:
        instance = DagsterInstance.local_temp(home)
        server = started(rootfs, config, document, port, int(uids[0]) if uids else 0, instance.get_ref())
        try:
            client = DagsterGrpcClient(port=port, host="localhost")
            listed = listed_repositories(client, server)
            names = [symbol.repository_name for symbol in listed.repository_symbols]
            name = document["location_name"]
            answer = {
                "repositories": {one: repository_content(client, name, one) for one in names},
                "executable": listed.executable_path,
                "image": deserialize_value(client.get_current_image()).current_image,
            }
        except LoadError as error:
            answer = {"error": str(error)}
        finally:
            server.kill()
            server.wait()
    with open(answer_file, "w", encoding="utf-8") as file:
        json.dump(answer, file)
    sys.exit(1 if "error" in answer else 0)


if __name__ == "__main__":
    main()
