"""The fault script: what goes wrong, at which call, and how.

A rule is a JSON object:

    {"operation": "deployLocations",   a root field (of several in a document, any), or "PUT" / "GET" for the object store, or "*"
     "object": "deps-",                only calls whose object or file names contain this (optional)
     "call": 1,                        the first matching call that fails, from 1 (default 1)
     "times": 1,                       how many calls in a row fail (default 1; 0 = all from `call` on)
     "before": {"delete-object": ".."},                 controls that are turned before the call (optional), see README.md
     "kind": "..",                     for whoever wrote the rule (optional)
     "apply": false,                   whether the call takes effect although its reply is lost (default false)
     ACTION}

and ACTION is one of

    "status": 503, "headers": {..}, "body": "text"     that HTTP reply (body optional)
    "reset": true                                      connection reset before any reply
    "reset_upload_after": 1000                         so many bytes of the body are read, then a reset
    "store_bytes": 5                                   so many bytes of the body are stored, with the reply for them
    "truncate": true                                   half of the true reply, then the connection closes
    "reset_mid_body": true                             likewise, with a reset
    "html": true                                       200 with a web page
    "delay_seconds": 2.0                               the true reply, late
    "duplicate": true                                  the true reply, twice on the same connection
    "drip": {"pieces": 5, "pause_seconds": 0.001}      the true reply, piece by piece; 0 pieces: blanks without end
    "length": -3                                       the true reply, with a length that is wrong by this much, then a close
    "early": 103                                       the true reply after an interim one
    "beside": {"errors": [..]}                         the true reply with these keys next to its `data`
    "replace": ["LOADED", "REPAIRED"]                  the true reply with one text for another
    "huge": 80000000                                   so many blanks
    "redirect": 307                                    a redirect to the object store, which checks for credentials
    "maintenance": {"message": .., "timeout": .., "retry_interval": ..}
    "errors": [..]                                     200 with GraphQL errors
    "data": {..}                                       200 with this as data
"""

import threading


class Faults:
    def __init__(self, rules):
        self._lock = threading.Lock()
        self.replace(rules)

    def replace(self, rules):
        with self._lock:
            self._rules = [dict(rule) for rule in rules]
            self._seen = [0] * len(self._rules)

    def next(self, operations, names=()):
        """The rule that this call of these operations falls under, or None. Every matching rule counts the call."""
        chosen = None
        with self._lock:
            for index, rule in enumerate(self._rules):
                if rule["operation"] not in ("*", *operations):
                    continue
                if "object" in rule and not any(rule["object"] in name for name in names):
                    continue
                self._seen[index] += 1
                first = rule.get("call", 1)
                times = rule.get("times", 1)
                last = float("inf") if times == 0 else first + times - 1
                if chosen is None and first <= self._seen[index] <= last:
                    chosen = rule
        return chosen
