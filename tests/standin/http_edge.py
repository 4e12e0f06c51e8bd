"""HTTP in front of the service and the object store: headers, envelope, journal."""

import email
import email.policy
import hashlib
import json
import re
import time
from urllib.parse import parse_qs, unquote, urlsplit

from document import Document
from object_store import ObjectStore, Refused
from service import Root
from wire import PAGE, Handler


class GraphQLHandler(Handler):
    """The organization's GraphQL endpoint, and the control endpoints of the stand-in (`/-/…`)."""

    def do_GET(self):
        if self.path == "/-/journal":
            return self.reply(200, json.dumps(self.world.journal.as_json()))
        if self.path == "/-/state":
            return self.reply(200, json.dumps(self.world.state()))
        return self.reply(404, PAGE, "text/html")

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith("/-/"):
            self.world.control(self.path[3:], json.loads(body or b"null"))
            return self.reply(200, "{}")
        time.sleep(self.world.config.get("latency_seconds", 0))
        if self.path.endswith("/gen_artifact_post"):
            return self.artifact_form(body)
        entry = self.world.journal.request(
            server="graphql",
            method="POST",
            path=self.path,
            headers={k: v for k, v in self.headers.items() if k.lower() != "dagster-cloud-api-token"},
        )
        status, answer, call = self.prepare(body, entry)
        lists = [value for value in (entry.get("variables") or {}).values() if isinstance(value, list)]
        names = [name for names in lists for name in names if isinstance(name, str)]
        fault = self.next_fault(entry.get("fields", []), names, deployment=call and call[2])
        if fault:
            return self.play(fault, entry, lambda: self.finish_call(status, answer, call, entry))
        return self.reply(*self.finish_call(status, answer, call, entry))

    def artifact_form(self, body):
        """Where to send a file: an address of the object store, and the fields of a form."""
        name, key = unquote(self.path[1 : -len("/gen_artifact_post")]), json.loads(body)["key"]
        self.world.journal.request(server="artifacts", method="POST", path=self.path, field="gen_artifact_post")
        if self.headers.get("Dagster-Cloud-Api-Token") != self.world.config["token"]:
            return self.reply(401, json.dumps({"message": "Unauthorized"}))
        for problem in self.header_problems(name):
            self.world.journal.violation(problem, path=self.path)
        if name not in self.world.service.deployments:
            return self.reply(404, PAGE, "text/html")
        path = self.world.store.presign(f"{name}/{key}", "POST")
        fields = {"key": f"{name}/{key}", "signature": path.rpartition("X-Signature=")[2]}
        return self.reply(200, json.dumps({"url": self.world.store_server.url + "/artifacts", "fields": fields}))

    def prepare(self, body, entry):
        """(status, answer, call): a refusal with its answer, or a call that is still to be made."""
        if not re.fullmatch(r"(/[^/]+)?/graphql", self.path):
            return 404, PAGE, None
        name = unquote(self.path[1 : -len("/graphql")].strip("/"))
        service = self.world.service
        with service.lock:
            deployment = service.deployments.get(name) if name else service.default_deployment()
        entry["deployment"] = name or None
        if self.headers.get("Dagster-Cloud-Api-Token") != self.world.config["token"]:
            return 401, json.dumps({"message": "Unauthorized"}), None
        problems = self.header_problems(name)
        try:
            payload = json.loads(body)
            entry.update(query=payload.get("query"), variables=payload.get("variables"))
            document = Document(payload["query"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return 400, json.dumps({"errors": [{"message": str(error)}]}), None
        entry["operation"] = document.name
        entry["fields"] = [field.name for field in document.fields]
        entry["field"] = entry["fields"][0]
        for field in self.world.config.get("unknown_fields", []):
            if re.search(rf"\b{field}\b", payload["query"]):
                message = f"Cannot query field '{field}' on type 'WorkspaceEntry'."
                return 400, json.dumps({"errors": [{"message": message}]}), None
        if set(payload) != {"query", "variables"} or not isinstance(payload["variables"], dict):
            problems.append("the envelope is exactly `query` and `variables`")
        if problems:
            for problem in problems:
                self.world.journal.violation(problem, operation=entry["operation"])
            return 400, json.dumps({"errors": [{"message": p} for p in problems]}), None
        if deployment is None:
            return 404, PAGE, None
        return 200, None, (document, payload["variables"], deployment)

    def header_problems(self, name):
        problems = []
        for header, pattern in [
            ("Dagster-Cloud-Scope", "deployment"),
            ("Dagster-Cloud-Version", r"\d+\.\d+\S*"),
            ("Python-Version", r"\d+\.\d+\S*"),
            ("Content-Type", "application/json"),
        ]:
            if not re.fullmatch(pattern, self.headers.get(header, "")):
                problems.append(f"header {header} is missing or wrong: {self.headers.get(header)!r}")
        held = self.headers.get("Dagster-Cloud-Deployment")
        if held and name and held != name:
            problems.append(f"header Dagster-Cloud-Deployment {held!r} is not that of the URL, {name!r}")
        return problems

    def finish_call(self, status, answer, call, entry):
        if call is None:
            entry["status"] = status
            return status, answer, "text/html" if answer == PAGE else "application/json"
        document, variables, deployment = call
        service = self.world.service
        with service.lock:
            root = Root(service, deployment, self.headers.get("Idempotency-Key"))
            data, errors = document.answer(root, variables, self.world.config.get("field_errors", {}))
        entry.update(status=200, answer=data, ended=time.time())
        if errors:
            entry["errors"] = errors
        return 200, json.dumps({"data": data, "errors": errors} if errors else {"data": data}), "application/json"


class StoreHandler(Handler):
    """The object store, on a port of its own so that a credential sent here is seen."""

    def do_PUT(self):
        self.serve("PUT")

    def do_GET(self):
        self.serve("GET")

    def do_HEAD(self):
        self.serve("HEAD")

    def do_POST(self):
        """A file with a form, as S3 takes it: the fields first, then `file`."""
        entry = self.world.journal.request(server="store", method="POST", object=self.path, headers=dict(self.headers))
        head = f"Content-Type: {self.headers.get('Content-Type')}\r\n\r\n".encode()
        form = email.message_from_bytes(head + (self.read_body() or b""), policy=email.policy.HTTP)
        parts = [
            (p.get_param("name", header="content-disposition"), p.get_payload(decode=True)) for p in form.iter_parts()
        ]
        values = dict(parts)
        try:
            ObjectStore.check_headers(self.headers, "POST")
            if self.path != "/artifacts" or [name for name, _ in parts][-1:] != ["file"]:
                raise Refused(400, "MalformedPOSTRequest")
            name = values["key"].decode()
            self.world.store.put(
                name, values["file"], self.world.store.authorize(name, "POST", values["signature"].decode())
            )
        except Refused as refused:
            entry.update(status=refused.status, refused=refused.code)
            self.world.journal.violation(refused.code, object=self.path)
            return self.reply(refused.status, b"", "application/xml")
        entry.update(status=204, object=name, size=len(values["file"]))
        return self.reply(204, b"", "application/xml")

    def serve(self, method):
        url = urlsplit(self.path)
        name = unquote(url.path.removeprefix("/pex/"))
        entry = self.world.journal.request(server="store", method=method, object=name, headers=dict(self.headers))
        time.sleep(self.world.config.get("latency_seconds", 0))
        fault = self.next_fault((method,), (name,))
        if fault and "reset_upload_after" in fault:
            entry["fault"] = {"reset_upload_after": fault["reset_upload_after"]}
            self.rfile.read(min(fault["reset_upload_after"], int(self.headers.get("Content-Length") or 0)))
            return self.reset()
        body = self.read_body() if method == "PUT" else None
        if fault and "store_bytes" in fault:
            body, fault = body[: fault["store_bytes"]], None

        def true_reply():
            status, answer, kind, _ = self.answer(method, name, url, body, entry)
            return status, answer, kind

        if fault:
            return self.play(fault, entry, true_reply)
        status, answer, kind, headers = self.answer(method, name, url, body, entry)
        entry["ended"] = time.time()
        return self.reply(status, answer, kind, headers)

    def read_body(self):
        length = self.headers.get("Content-Length") or ""
        data = self.rfile.read(int(length)) if length.isdigit() else b""
        return data if len(data) == int(length or -1) else None

    def answer(self, method, name, url, body, entry):
        store = self.world.store
        try:
            ObjectStore.check_headers(self.headers, method)
            signature = parse_qs(url.query).get("X-Signature", [""])[0]
            grant = store.authorize(name, method, signature)
            if method == "PUT":
                if body is None:
                    raise Refused(400, "IncompleteBody")
                store.put(name, body, grant)
                self.world.check_cache_entry(name, body)
                entry.update(status=200, size=len(body))
                return 200, b"", "application/xml", self.entity_tag(body)
            data = store.get(name)
        except Refused as refused:
            entry.update(status=refused.status, refused=refused.code)
            # A body that ends early is that of a client that died.
            if refused.status not in (403, 404) and refused.code != "IncompleteBody":
                self.world.journal.violation(refused.code, object=name)
            text = f"<?xml version='1.0'?><Error><Code>{refused.code}</Code></Error>"
            return refused.status, text.encode(), "application/xml", None
        return self.ranged(data, entry)

    def entity_tag(self, body):
        """As S3 answers an upload: the MD5, or with a key of one's own something else."""
        kind = hashlib.md5 if self.world.config.get("entity_tags", "md5") == "md5" else hashlib.blake2s
        return {"ETag": f'"{kind(body).hexdigest()[:32]}"'}

    def ranged(self, data, entry):
        """The object, or the one range asked for (`bytes=a-b`, `bytes=-n`)."""
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if not wanted or wanted.groups() == ("", ""):
            entry.update(status=200, size=len(data))
            return 200, data, "binary/octet-stream", {"Accept-Ranges": "bytes"}
        first, last = wanted.groups()
        start = int(first) if first else max(0, len(data) - int(last))
        if start >= len(data):
            entry.update(status=416)
            return 416, b"", "application/xml", {"Content-Range": f"bytes */{len(data)}"}
        stop = min(len(data), int(last) + 1) if first and last else len(data)
        entry.update(status=206, size=stop - start)
        return 206, data[start:stop], "binary/octet-stream", {"Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"}
