"""What each operation does. A function gets the repository, the caller and the request, and gives status and body."""

from repository import NOW, Refused, account

CREATE_COMMENT = "issues/create-comment"


class Service:
    """The operations that are understood, by the `operationId` of GitHub's own document."""

    PATHS = [
        ("/user", "get"),
        ("/repos/{owner}/{repo}/pulls/{pull_number}", "get"),
        ("/repos/{owner}/{repo}/pulls", "get"),
        ("/repos/{owner}/{repo}/commits/{ref}", "get"),
        ("/repos/{owner}/{repo}/issues/{issue_number}/comments", "get"),
        ("/repos/{owner}/{repo}/issues/{issue_number}/comments", "post"),
        ("/repos/{owner}/{repo}/issues/comments/{comment_id}", "get"),
        ("/repos/{owner}/{repo}/issues/comments/{comment_id}", "patch"),
        ("/repos/{owner}/{repo}/issues/comments/{comment_id}", "delete"),
        ("/repos/{owner}/{repo}/deployments", "get"),
        ("/repos/{owner}/{repo}/deployments", "post"),
        ("/repos/{owner}/{repo}/deployments/{deployment_id}/statuses", "post"),
        ("/repos/{owner}/{repo}/statuses/{sha}", "post"),
    ]
    # `permissions:` of which one is enough, spelt as the header X-Accepted-GitHub-Permissions spells them.
    PERMISSIONS = {
        "pulls/get": ("pull_requests=read",),
        "pulls/list": ("pull_requests=read",),
        "repos/get-commit": ("contents=read",),
        "issues/list-comments": ("issues=read", "pull_requests=read"),
        CREATE_COMMENT: ("issues=write", "pull_requests=write"),
        "issues/get-comment": ("issues=read", "pull_requests=read"),
        "issues/update-comment": ("issues=write", "pull_requests=write"),
        "issues/delete-comment": ("issues=write", "pull_requests=write"),
        "repos/list-deployments": ("deployments=read",),
        "repos/create-deployment": ("deployments=write",),
        "repos/create-deployment-status": ("deployments=write",),
        "repos/create-commit-status": ("statuses=write",),
    }

    def __init__(self, contract, repository, base_url):
        self.repository, self.base_url = repository, base_url
        self.operations = {}
        for template, method in self.PATHS:
            operation = contract.serve(template, method)
            self.operations[operation.id] = operation

    def check_permission(self, operation_id, token):
        needed = self.PERMISSIONS.get(operation_id, ())
        granted = token["permissions"]
        if not needed or any(has(granted, permission) for permission in needed):
            return
        headers = {"X-Accepted-GitHub-Permissions": "; ".join(needed)}
        raise Refused(403, "Resource not accessible by integration", headers)

    def call(self, operation_id, token, parameters, body):
        """(status, body, all items of a list before it is cut into pages)."""
        self.check_permission(operation_id, token)
        name = operation_id.split("/")[1].replace("-", "_")
        return getattr(self, name)(token, parameters, body or {})

    # The account

    def get_authenticated(self, token, parameters, body):
        if token["type"] == "Bot":
            raise Refused(403, "Resource not accessible by integration")
        return 200, self.operations["users/get-authenticated"].example(200) | account(**token)

    # Pull requests and commits

    def get(self, token, parameters, body):
        pull = self.repository.pull(int(parameters["pull_number"]))
        answer = self.operations["pulls/get"].example(200)
        answer |= {key: pull[key] for key in ("number", "state", "merged", "html_url", "user") if key in pull}
        for side in ("head", "base"):
            answer[side] |= pull.get(side, {})
        return 200, answer

    def list(self, token, parameters, body):
        example = self.operations["pulls/list"].example(200)[0]
        matching = []
        for pull in self.repository.pulls.values():
            owner = pull.get("head", {}).get("repo", {}).get("full_name", self.repository.full_name).split("/")[0]
            head = f"{owner}:{pull.get('head', {}).get('ref')}"
            if pull.get("state", "open") == parameters.get("state", "open") and head == parameters.get("head", head):
                sides = {side: example[side] | pull.get(side, {}) for side in ("head", "base")}
                matching.append(example | {"number": pull["number"], "state": pull.get("state", "open")} | sides)
        return 200, matching

    def get_commit(self, token, parameters, body):
        commit = self.repository.commits.get(parameters["ref"])
        if commit is None:
            raise Refused(422, f"No commit found for SHA: {parameters['ref']}")
        answer = self.operations["repos/get-commit"].example(200)
        return 200, answer | commit | {"commit": answer["commit"] | commit.get("commit", {})}

    # Comments

    def shown(self, comment):
        example = self.operations["issues/get-comment"].example(200)
        page = f"https://github.example/{self.repository.full_name}/pull/{comment['pull']}#issuecomment-{comment['id']}"
        user = comment["user"] and example["user"] | comment["user"]
        own = f"{self.base_url}/repos/{self.repository.full_name}/issues/comments/{comment['id']}"
        return example | {"id": comment["id"], "body": comment["body"], "user": user, "html_url": page, "url": own}

    def list_comments(self, token, parameters, body):
        return 200, [self.shown(c) for c in self.repository.comments_of(int(parameters["issue_number"]))]

    def create_comment(self, token, parameters, body):
        number = int(parameters["issue_number"])
        self.check_lock(number, token)
        self.repository.check_body(body["body"])
        return 201, self.shown(self.repository.add_comment({"pull": number, "body": body["body"], "user": token}))

    def check_lock(self, number, token):
        if self.repository.pull(number).get("locked") and not token.get("may_write_locked"):
            raise Refused(403, "Unable to create comment because issue is locked.")

    def get_comment(self, token, parameters, body):
        return 200, self.shown(self.repository.comment(int(parameters["comment_id"])))

    def update_comment(self, token, parameters, body):
        comment = self.repository.comment(int(parameters["comment_id"]))
        self.check_lock(comment["pull"], token)
        self.repository.check_body(body["body"])
        comment["body"] = body["body"]
        return 200, self.shown(comment)

    def delete_comment(self, token, parameters, body):
        self.repository.comment(int(parameters["comment_id"]))
        self.repository.comments.pop(int(parameters["comment_id"]), None)
        return 204, None

    # Deployments and statuses

    def shown_deployment(self, deployment):
        example = self.operations["repos/list-deployments"].example(200)[0]
        return example | {key: value for key, value in deployment.items() if key in example}

    def list_deployments(self, token, parameters, body):
        wanted = {key: parameters[key] for key in ("sha", "ref", "task", "environment") if key in parameters}
        newest_first = sorted(self.repository.deployments.values(), key=lambda d: -d["id"])
        matching = [d for d in newest_first if all(d.get(key) == value for key, value in wanted.items())]
        return 200, [self.shown_deployment(d) for d in matching]

    def create_deployment(self, token, parameters, body):
        if body.get("auto_merge", True):
            return 202, {"message": "Auto-merged main into topic-branch on deployment."}
        if body.get("required_contexts") != []:
            raise Refused(409, "Conflict: Commit status checks failed for topic-branch.")
        defaults = {"task": "deploy", "environment": "production", "transient_environment": False}
        deployment = defaults | body | {"id": self.repository.new_id(), "sha": body["ref"], "states": []}
        self.repository.deployments[deployment["id"]] = deployment
        return 201, self.shown_deployment(deployment)

    def create_deployment_status(self, token, parameters, body):
        deployment = self.repository.deployments.get(int(parameters["deployment_id"]))
        if deployment is None:
            raise Refused(404, "Not Found")
        deployment["states"].append(body)
        answer = self.operations["repos/create-deployment-status"].example(201)
        return 201, answer | {"id": self.repository.new_id(), "created_at": NOW} | body

    def create_commit_status(self, token, parameters, body):
        self.repository.statuses.append({"sha": parameters["sha"]} | body)
        answer = self.operations["repos/create-commit-status"].example(201)
        return 201, answer | {"id": self.repository.new_id()} | body


def has(granted, permission):
    """Whether `granted` ({"issues": "write", …} or "write-all" or "read-all") holds `issues=read`."""
    name, access = permission.split("=")
    held = granted.removesuffix("-all") if isinstance(granted, str) else granted.get(name, "none")
    return held == "write" or held == access
