"""HTTP as every stand-in speaks it: replies, resets, the acting out of faults."""

import json
import socket
import struct
import sys
import time
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGE = "<!DOCTYPE html><html><body>Please sign in</body></html>"


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, handler, world):
        super().__init__(("127.0.0.1", 0), handler)
        self.world = world

    def handle_error(self, request, client_address):
        """Connections that break are part of the script; anything else is a mistake in here, and no test may pass it."""
        if not isinstance(sys.exc_info()[1], OSError):
            self.world.journal.violation("the stand-in failed", traceback=traceback.format_exc())

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, *args):
        pass

    def setup(self):
        super().setup()
        self.world.journal.opened()

    def finish(self):
        try:
            super().finish()
        finally:
            self.world.journal.closed()

    @property
    def world(self):
        return self.server.world

    def reply(self, status, body, content_type="application/json", headers=None, sent=None):
        """Answer; `sent` cuts the body short although the length promises all of it."""
        data = body if isinstance(body, bytes) else body.encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        if "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(data if sent is None else data[:sent])
        self.wfile.flush()

    def reset(self):
        """Close with a TCP reset."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def next_fault(self, operations, names, deployment=None):
        """Turn the controls of the rule that this call falls under; the rule, if it says more than that."""
        fault = self.world.faults.next(operations, names) or {}
        for what, value in fault.get("before", {}).items():
            self.world.control(what, value, deployment=deployment)
        return fault if set(fault) - {"operation", "object", "call", "times", "apply", "before", "kind"} else None

    def play(self, fault, entry, true_reply):
        """Act out a fault. `true_reply()` gives (status, body, content type) and has the call's effect."""
        if set(fault) & {"early", "drip", "length", "beside", "replace"}:
            return self.bend(fault, entry, true_reply)
        if fault.get("delay_seconds"):
            time.sleep(fault["delay_seconds"])
            status, body, kind, *headers = true_reply()
            entry["status"] = status
            return self.reply(status, body, kind, *headers)
        if fault.get("duplicate"):
            status, body, kind, *headers = true_reply()
            entry["status"] = status
            self.reply(status, body, kind, *headers)
            return self.reply(status, body, kind, *headers)
        cut = fault.get("truncate") or fault.get("reset_mid_body")
        if fault.get("apply") or cut:
            status, body, kind, *_ = true_reply()
        entry["fault"] = {k: v for k, v in fault.items() if k not in ("operation", "call", "times")}
        if fault.get("reset"):
            return self.reset()
        if cut:
            self.reply(status, body, kind, sent=len(body) // 2)
            self.close_connection = True
            return self.reset() if fault.get("reset_mid_body") else None
        if fault.get("huge"):
            return self.fill(fault["huge"])
        if fault.get("redirect"):
            elsewhere = {"Location": f"{self.world.store_server.url}/pex/elsewhere"}
            return self.reply(fault["redirect"], "", "text/plain", elsewhere)
        if fault.get("html"):
            return self.reply(fault.get("status", 200), PAGE, "text/html")
        for key in ("maintenance", "errors", "data"):
            if key in fault:
                return self.reply(fault.get("status", 200), json.dumps({key: fault[key]}), headers=fault.get("headers"))
        return self.reply(fault["status"], fault.get("body", ""), "text/plain", fault.get("headers"))

    def bend(self, fault, entry, true_reply):
        """The true reply, bent on its way."""
        status, body, kind, *headers = true_reply()
        entry["status"] = status
        data = body if isinstance(body, bytes) else body.encode()
        if "early" in fault:
            self.send_response_only(fault["early"])
            self.end_headers()
        if "beside" in fault and kind == "application/json":
            data = json.dumps({**json.loads(data), **fault["beside"]}).encode()
        if "replace" in fault:
            old, new = fault["replace"]
            data = data.replace(old.encode(), new.encode())
        if "length" in fault:
            self.close_connection = True
            return self.reply(status, data, kind, {"Content-Length": max(0, len(data) + fault["length"])})
        if "drip" in fault:
            return self.drip(status, data, kind, *headers, **fault["drip"])
        return self.reply(status, data, kind, *headers)

    def drip(self, status, data, kind, headers=None, pieces=5, pause_seconds=0.001):
        """The reply in so many pieces; without an end for 0 of them."""
        length = len(data) if pieces else 1 << 40
        self.reply(status, b"", kind, {**(headers or {}), "Content-Length": length})
        size = max(1, -(-len(data) // (pieces or 1)))
        while not pieces:
            self.wfile.write(b" ")
            time.sleep(pause_seconds)
        for start in range(0, len(data), size):
            self.wfile.write(data[start : start + size])
            self.wfile.flush()
            time.sleep(pause_seconds)

    def fill(self, size):
        """So many bytes of blanks."""
        self.reply(200, b"", headers={"Content-Length": size})
        piece = b" " * (1 << 20)
        for start in range(0, size, len(piece)):
            self.wfile.write(piece[: size - start])
