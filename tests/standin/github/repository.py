"""One repository: its pull requests, comments, deployments, statuses, commits."""

import threading

LONGEST_BODY_CHARACTERS = 65_536
NOW = "2026-01-02T03:04:05Z"


class Refused(Exception):
    """A reply that is no success."""

    def __init__(self, status, message, headers=None, errors=None):
        super().__init__(message)
        self.status, self.headers = status, headers or {}
        self.body = {"message": message, "documentation_url": "https://docs.example/rest", "status": str(status)}
        if errors:
            self.body["errors"] = errors


def account(login="someone", id=1, type="User", **_):
    """An account as replies show it."""
    return {"login": login, "id": id, "type": type}


class Repository:
    def __init__(self, config):
        self.lock = threading.RLock()
        self.full_name = config.get("repository", "acme/proj")
        self.id = config.get("repository_id", 5_000_000_001)
        self.former_names = config.get("former_names", [])
        self.pulls = {pull["number"]: pull for pull in config.get("pulls", [{"number": 7}])}
        self.page_size = config.get("page_size", 100)
        self.commits = {commit["sha"]: commit for commit in config.get("commits", [])}
        self.comments, self.deployments, self.statuses = {}, {}, []
        self._next_id = 9_000_000_001
        for comment in config.get("comments", []):
            self.add_comment(comment)

    def new_id(self):
        with self.lock:
            self._next_id += 1
            return self._next_id

    def add_comment(self, comment):
        """A comment by another user; `user` null means a deleted account."""
        with self.lock:
            id = comment.get("id") or self.new_id()
            user = account(**comment["user"]) if comment.get("user") else None
            self.comments[id] = {"id": id, "pull": comment.get("pull", 7), "body": comment["body"], "user": user}
            return self.comments[id]

    def pull(self, number):
        pull = self.pulls.get(number)
        if pull is None:
            raise Refused(404, "Not Found")
        if pull.get("deleted"):
            raise Refused(410, "This issue was deleted")
        return pull

    def comment(self, id):
        if id not in self.comments:
            raise Refused(404, "Not Found")
        return self.comments[id]

    def comments_of(self, number):
        self.pull(number)
        with self.lock:
            return sorted((c for c in self.comments.values() if c["pull"] == number), key=lambda c: c["id"])

    @staticmethod
    def check_body(body):
        if not body.strip():
            raise Refused(
                422,
                "Validation Failed",
                errors=[{"resource": "IssueComment", "code": "missing_field", "field": "body"}],
            )
        if len(body) > LONGEST_BODY_CHARACTERS:
            error = {
                "resource": "IssueComment",
                "code": "unprocessable",
                "field": "data",
                "message": "Body is too long (maximum is 65536 characters)",
            }
            raise Refused(422, "Validation Failed", errors=[error])

    def clear(self):
        """Forget what runs left behind."""
        with self.lock:
            self.comments.clear()
            self.deployments.clear()
            self.statuses.clear()

    def state(self):
        with self.lock:
            return {
                "comments": [dict(comment) for comment in self.comments.values()],
                "deployments": [dict(deployment) for deployment in self.deployments.values()],
                "statuses": list(self.statuses),
            }
