"""A strict loopback Dagster+ for tests.

    python tests/standin CONFIG.json

prints one JSON line with the addresses, then serves until its standard input closes. Python's standard library is all it needs.
See README.md in this directory for the configuration and the control endpoints.
"""

import hashlib
import json
import pathlib
import sys
import threading

from faults import Faults
from http_edge import GraphQLHandler, StoreHandler
from journal import Journal
from object_store import ObjectStore
from service import Root, Service
from wire import Server


class World:
    """Everything that requests share."""

    def __init__(self, config):
        self.config = config
        self.journal = Journal()
        self.faults = Faults(config.get("faults", []))
        self.store = ObjectStore(config.get("url_seconds", 3600))
        self.store_server = Server(StoreHandler, self)
        self.api_server = Server(GraphQLHandler, self)
        self.service = Service(config, self.store, self.store_server.url, self.journal.violation)

    def state(self):
        objects = self.store.snapshot()
        with self.service.lock:
            runs = {run.run_id: {"status": run.states[0], **run.params} for run in self.service.runs.values()}
            return {"deployments": self.deployments(), "runs": runs, **described(objects)}

    def deployments(self):
        return {
            d.name: {
                "kind": d.kind,
                "branch": d.branch,
                "status": d.status,
                "defs_state": {key: version for key, (version, _) in d.defs_state.items()},
                "locations": {x.name: x.document for x in d.locations.values()},
                "serving": {x.name: x.serving() for x in d.locations.values()},
            }
            for d in self.service.deployments.values()
        }

    def control(self, what, value, deployment=None):
        """Change the world between two runs of a client, or at `deployment` in the midst of one."""
        if what == "faults":
            self.faults.replace(value)
        elif what == "config":
            self.config.update(value)
            self.store.url_seconds = self.config.get("url_seconds", 3600)
            self.service.agent_polls = 0
        elif what == "reset":
            self.config = value
            self.config.setdefault("token", "user:token-for-tests")
            self.faults.replace(value.get("faults", []))
            self.store.clear(value.get("url_seconds", 3600))
            self.service = Service(value, self.store, self.store_server.url, self.journal.violation)
            self.journal.clear()
        elif what == "journal":
            self.journal.clear()
        elif what == "delete-object":
            self.store.objects.pop(value, None)
        elif what == "overwrite":
            with self.service.lock:
                if self.service.deployments:
                    Root(self.service, deployment or self.service.default_deployment()).overwrite(value)
        elif what == "remove-location":
            with self.service.lock:
                if self.service.deployments:
                    (deployment or self.service.default_deployment()).locations.pop(value, None)
        elif what == "remove-deployment":
            with self.service.lock:
                self.service.deployments.pop(deployment.name if deployment else value, None)
        elif what == "put-object":
            self.store.objects[value["name"]] = value["text"].encode()
        else:
            raise ValueError(what)

    def check_cache_entry(self, name, body):
        """A deps cache entry is exactly two keys and names a stored deps PEX."""
        if name.startswith("resolution-"):
            return self.check_record(name, body)
        if not name.startswith("requirements-"):
            return
        try:
            entry = json.loads(body)
        except ValueError:
            return self.journal.violation("cache entry is not JSON", object=name)
        if list(entry) != ["deps_pex_name", "dagster_version"] or json.dumps(entry).encode() != body:
            self.journal.violation("cache entry is spelt differently", object=name, text=body.decode())
        if entry.get("deps_pex_name") not in self.store.objects:
            self.journal.violation("cache entry names a missing object", object=name)

    def check_record(self, name, body):
        """A resolution record names a stored deps PEX, and has no address in it."""
        try:
            record = json.loads(body)
        except ValueError:
            return self.journal.violation("record is not JSON", object=name)
        if record.get("deps_pex_name") not in self.store.objects:
            self.journal.violation("record names a missing object", object=name)
        if b"://" in body and b"git+" not in body:
            self.journal.violation("record has an address", object=name)


def described(objects):
    return {
        "objects": {name: len(data) for name, data in objects.items()},
        "digests": {name: hashlib.sha256(data).hexdigest() for name, data in objects.items()},
        "texts": {
            name: data.decode("utf-8", "replace")
            for name, data in objects.items()
            if name.endswith(".txt") or "/__state__/" in name
        },
    }


def main():
    config = json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")) if len(sys.argv) > 1 else {}
    config.setdefault("token", "user:token-for-tests")
    world = World(config)
    for server in (world.api_server, world.store_server):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"url": world.api_server.url, "store_url": world.store_server.url}), flush=True)
    sys.stdin.read()


main()
