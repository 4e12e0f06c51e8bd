"""HTTP in front of the service: addresses, headers, pages, journal, control."""

import json
import re
import time
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from repository import Refused
from wire import Handler

# Headers that every request needs. Without a User-Agent, GitHub answers 403.
HEADERS = [
    ("Accept", r"application/vnd\.github\+json"),
    ("X-GitHub-Api-Version", r"2022-11-28"),
    ("User-Agent", r".+"),
]


class GithubHandler(Handler):
    def do_GET(self):
        if self.path == "/-/journal":
            return self.reply(200, json.dumps(self.world.journal.as_json()))
        if self.path == "/-/state":
            return self.reply(200, json.dumps(self.world.repository.state()))
        return self.serve()

    def do_POST(self):
        if self.path.startswith("/-/"):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            answer = self.world.control(self.path[3:], json.loads(body or b"null"))
            return self.reply(200, json.dumps(answer if answer is not None else {}))
        return self.serve()

    def do_PATCH(self):
        return self.serve()

    def do_DELETE(self):
        return self.serve()

    def serve(self):
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        query = parse_qsl(url.query, keep_blank_values=True)
        shown = {k.lower(): v for k, v in self.headers.items() if k.lower() != "authorization"}
        entry = self.world.journal.request(
            method=self.command,
            path=url.path,
            query=dict(query),
            headers=shown,
            body=parsed(raw),
            token=None,
            operation=None,
        )
        time.sleep(self.world.config.get("latency_seconds", 0))
        path = url.path.removeprefix(self.world.prefix) if url.path.startswith(self.world.prefix) else ""
        moved = self.moved_to(path, url.query)
        if moved:
            return self.answer(
                entry, 301 if self.command == "GET" else 307, {"message": "Moved Permanently"}, {"Location": moved}
            )
        path = self.by_name(path)
        operation, known = self.world.contract.find(self.command, path)
        entry["operation"] = operation and operation.id
        fault = self.world.faults.next((entry["operation"] or "?",), (path,))
        for what, value in (fault or {}).get("before", {}).items():
            self.world.control(what, value)

        def true_reply():
            return self.true_reply(entry, operation, known, path, query, raw)

        if fault and set(fault) - {"operation", "object", "call", "times", "apply", "before"}:
            return self.play(fault, entry, true_reply)
        return self.reply(*true_reply())

    def moved_to(self, path, query):
        """Where a repository under a former name is now: at its id, as GitHub's own redirects say it."""
        for name in self.world.repository.former_names:
            if path.startswith(f"/repos/{name}/"):
                rest = path.removeprefix(f"/repos/{name}")
                return f"{self.world.base_url}/repositories/{self.world.repository.id}{rest}" + (
                    f"?{query}" if query else ""
                )
        return None

    def by_name(self, path):
        """`/repositories/ID/…`, as links have it, is the same as `/repos/OWNER/NAME/…`."""
        repository = self.world.repository
        prefix = f"/repositories/{repository.id}/"
        return f"/repos/{repository.full_name}/" + path.removeprefix(prefix) if path.startswith(prefix) else path

    def answer(self, entry, status, body, headers=None):
        entry["status"] = status
        text = "" if body is None else json.dumps(body)
        return self.reply(status, text, "application/json; charset=utf-8", headers)

    def true_reply(self, entry, operation, known, path, query, raw):
        """(status, text, content type, headers) of an undisturbed call, with its effect."""
        headers = {"X-GitHub-Media-Type": "github.v3; format=json"}
        try:
            with self.world.repository.lock:
                status, body = self.call(entry, operation, known, path, query, raw)
                body = self.page(path, query, body, headers) if isinstance(body, list) else body
            for problem in operation.reply_problems(status, body):
                self.world.journal.violation(problem, operation=operation.id)
        except Refused as refused:
            status, body = refused.status, refused.body
            headers |= refused.headers
        entry["status"] = status
        return status, "" if body is None else json.dumps(body), "application/json; charset=utf-8", headers

    def call(self, entry, operation, known, path, query, raw):
        token = self.token(entry)
        for name, pattern in HEADERS:
            if not re.fullmatch(pattern, self.headers.get(name, "")):
                self.world.journal.violation(
                    f"header {name} is {self.headers.get(name)!r}", operation=entry["operation"]
                )
        if operation is None:
            self.world.journal.violation("no such operation", method=self.command, path=path, known=known)
            raise Refused(404, "Not Found")
        body = parsed(raw) if raw else None
        if raw and self.headers.get("Content-Type") != "application/json":
            self.world.journal.violation("body that is not announced as JSON", operation=operation.id)
        problems = operation.problems(path, query, body)
        if int(dict(query).get("per_page", 1)) > 100:
            problems.append("per_page is at most 100")
        for problem in problems:
            self.world.journal.violation(problem, operation=operation.id)
        if problems:
            raise Refused(422, "Invalid request.", errors=[{"message": problem} for problem in problems])
        parameters = {n: unquote(v) for n, v in operation.pattern.fullmatch(path).groupdict().items()}
        name = f"{parameters.get('owner')}/{parameters.get('repo')}".lower()
        if "repo" in parameters and name != self.world.repository.full_name.lower():
            raise Refused(404, "Not Found")
        return self.world.service.call(operation.id, token, parameters | dict(query), body)

    def token(self, entry):
        scheme, _, word = self.headers.get("Authorization", "").partition(" ")
        token = self.world.tokens.get(word)
        if scheme != "Bearer" or token is None:
            raise Refused(401, "Bad credentials" if word else "Requires authentication")
        entry["token"] = token["login"]
        return token

    def page(self, path, query, items, headers):
        """One page of a list, and the links to the others."""
        query = dict(query)
        # A server may give fewer on a page than it is asked for.
        size = min(int(query.get("per_page", 30)), self.world.repository.page_size)
        number = int(query.get("page", 1))
        last = max(1, -(-len(items) // size))
        rest = re.sub(r"^/repos/[^/]+/[^/]+", "", path)

        def link(page):
            own = f"{self.world.base_url}/repositories/{self.world.repository.id}{rest}"
            return f"{own}?{urlencode(query | {'page': page})}"

        if number < last:
            headers["Link"] = f'<{link(number + 1)}>; rel="next", <{link(last)}>; rel="last"'
        elif number > 1:
            headers["Link"] = f'<{link(number - 1)}>; rel="prev", <{link(1)}>; rel="first"'
        return items[(number - 1) * size : number * size]


def parsed(raw):
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        return {"not JSON": raw.decode("utf-8", "replace")[:200]}
