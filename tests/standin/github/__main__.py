"""A strict loopback GitHub (REST API) for tests.

    python tests/standin/github CONFIG.json

prints one JSON line with the address of the API, then serves until its standard input closes. With the package
jsonschema, values are checked against schemas too.
See README.md in this directory for the configuration and the control endpoints.
"""

import json
import pathlib
import sys
import threading

# What both stand-ins share is one directory up; what is here comes first.
sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent))

from contract import Contract  # noqa: E402
from edge import GithubHandler  # noqa: E402
from faults import Faults  # noqa: E402
from journal import Journal  # noqa: E402
from repository import Repository  # noqa: E402
from service import Service  # noqa: E402
from wire import Server  # noqa: E402

BOT = {"login": "github-actions[bot]", "id": 41898282, "type": "Bot"}
TOKENS = {
    "ghs_write": BOT | {"permissions": "write-all"},
    "ghs_readonly": BOT | {"permissions": "read-all"},
    "ghs_comments": BOT | {"permissions": {"contents": "read", "pull_requests": "write"}},
    "ghp_person": {"login": "ann", "id": 583231, "type": "User", "permissions": "write-all"},
}


class World:
    """Everything that requests share."""

    def __init__(self, config):
        self.config = config
        self.prefix = config.get("prefix", "")
        self.tokens = TOKENS | config.get("tokens", {})
        self.journal = Journal()
        self.faults = Faults(config.get("faults", []))
        self.repository = Repository(config)
        self.server = Server(GithubHandler, self)
        self.base_url = self.server.url + self.prefix
        self.contract = Contract(config.get("openapi") or pathlib.Path(__file__).resolve().parent / "operations.json")
        self.service = Service(self.contract, self.repository, self.base_url)

    def control(self, what, value):
        """Change the world from outside: what other people, other jobs and accidents do."""
        if what == "faults":
            self.faults.replace(value)
        elif what == "config":
            self.config.update(value)
        elif what == "journal":
            self.journal.clear()
        elif what == "clear":
            self.repository.clear()
        elif what == "comment":
            return self.repository.add_comment(value)
        elif what == "edit-comment":
            self.repository.comment(value["id"])["body"] = value["body"]
        elif what == "delete-comment":
            self.repository.comments.pop(value, None)
        elif what == "pull":
            self.repository.pulls.setdefault(value["number"], {}).update(value)
        else:
            raise ValueError(what)
        return None


def main():
    world = World(json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")))
    threading.Thread(target=world.server.serve_forever, daemon=True).start()
    print(json.dumps({"url": world.base_url}), flush=True)
    sys.stdin.read()


main()
