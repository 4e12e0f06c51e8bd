"""What was asked, in order, and what a strict reader objects to."""

import threading
import time


class Journal:
    def __init__(self):
        self._lock = threading.Lock()
        self._open = 0
        self.clear()

    def clear(self):
        with self._lock:
            self.requests, self.violations = [], []
            self.connections, self.most_open = 0, self._open

    def request(self, **entry):
        with self._lock:
            entry["number"] = len(self.requests) + 1
            entry["time"] = time.time()
            self.requests.append(entry)
            return entry

    def violation(self, what, **details):
        with self._lock:
            self.violations.append({"what": what, **details})

    def opened(self):
        with self._lock:
            self.connections += 1
            self._open += 1
            self.most_open = max(self.most_open, self._open)

    def closed(self):
        with self._lock:
            self._open -= 1

    def as_json(self):
        with self._lock:
            return {
                # Copies: an entry grows while its request is being answered.
                "requests": [dict(entry) for entry in self.requests],
                "violations": list(self.violations),
                "connections": self.connections,
                "most_open_connections": self.most_open,
                "open_connections": self._open,
            }
