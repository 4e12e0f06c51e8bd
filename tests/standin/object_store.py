"""The object store behind presigned URLs: a flat namespace, one signature per URL, strict about requests."""

import secrets
import threading
import time


class Refused(Exception):
    """A request that the store answers with an error status."""

    def __init__(self, status, code):
        super().__init__(code)
        self.status = status
        self.code = code


class ObjectStore:
    def __init__(self, url_seconds):
        self.url_seconds = url_seconds
        self.objects = {}
        self._grants = {}
        self._lock = threading.Lock()

    def clear(self, url_seconds):
        """Forget all objects, and all URLs: an upload that was under way is refused."""
        with self._lock:
            self.url_seconds = url_seconds
            self.objects.clear()
            self._grants.clear()

    def presign(self, name, method):
        """Path and query of a URL that allows one method on one object for `url_seconds`."""
        signature = secrets.token_hex(16)
        with self._lock:
            self._grants[signature] = {
                "name": name,
                "method": method,
                "expires": time.time() + self.url_seconds,
                "used": False,
            }
        return f"/pex/{name}?X-Expires={self.url_seconds}&X-Signature={signature}"

    def authorize(self, name, method, signature):
        """Refuse a URL that is unknown, expired, for another method or object, or an upload URL already used."""
        with self._lock:
            grant = self._grants.get(signature)
            if grant is None or grant["name"] != name:
                raise Refused(403, "SignatureDoesNotMatch")
            if grant["method"] != method:
                raise Refused(403, "SignatureDoesNotMatch")
            if time.time() > grant["expires"]:
                raise Refused(403, "AccessDenied: Request has expired")
            if grant["used"]:
                raise Refused(403, "AccessDenied: upload URL was used before")
            return grant

    def put(self, name, body, grant):
        with self._lock:
            if grant not in self._grants.values():
                raise Refused(403, "SignatureDoesNotMatch")
            grant["used"] = True
            self.objects[name] = body

    def get(self, name):
        with self._lock:
            if name not in self.objects:
                raise Refused(404, "NoSuchKey")
            return self.objects[name]

    def snapshot(self):
        """All objects by name, as they are at one moment."""
        with self._lock:
            return dict(self.objects)

    @staticmethod
    def check_headers(headers, method):
        """What would break a presigned request, or leak a credential to another host."""
        for header in headers:
            if header.lower().startswith("dagster-cloud") or header.lower() in ("authorization", "cookie"):
                raise Refused(400, f"credential header {header} sent to the object store")
        if method == "PUT":
            if headers.get("Transfer-Encoding"):
                raise Refused(501, "NotImplemented: Transfer-Encoding")
            if headers.get("Content-Type"):
                raise Refused(403, "SignatureDoesNotMatch: Content-Type is not signed")
            if not (headers.get("Content-Length") or "").isdigit():
                raise Refused(411, "MissingContentLength")
            if headers["Content-Length"] == "0":
                raise Refused(400, "empty object")
