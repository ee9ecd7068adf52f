"""Logs as one JSON object a line, without personal data.

What may be logged is a list: a message that is a constant, and fields by name. Of an exception only
its kind and where it came from are told, since its text may repeat what somebody sent.
"""

from __future__ import annotations

import logging
import time
import traceback
from typing import IO

import msgspec

FIELDS = frozenset(
    {"route", "method", "status", "ms", "key", "cause", "count", "position", "events", "bytes",
     "webhook", "attempt", "stream", "seconds", "number", "host", "port", "version"}
)  # fmt: skip
"""Fields that a record may carry (`logger.info("…", extra={"told": {…}})`)."""


class Lines(logging.Formatter):
    """Formats records as JSON lines; fields that are not listed are left out, arguments too."""

    def format(self, record: logging.LogRecord) -> str:
        """One record as one line: `ts` (RFC 3339), `level`, `logger`, `event`, then its fields."""
        told = getattr(record, "told", {})
        line = {
            "ts": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            # Not getMessage(): arguments are values.
            "event": str(record.msg),
        } | {name: value for name, value in told.items() if name in FIELDS}
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = type(record.exc_info[1]).__name__
            frames = traceback.extract_tb(record.exc_info[2])[-6:]
            line["at"] = [f"{f.filename.rsplit('/', 1)[-1]}:{f.lineno} {f.name}" for f in frames]
        return msgspec.json.encode(line).decode()


def set_up(stream: IO[str], level: int = logging.INFO) -> logging.Handler:
    """Have every logger of the process write JSON lines to `stream`; returns the handler."""
    handler = logging.StreamHandler(stream)
    made = Lines()
    made.converter = time.gmtime
    handler.setFormatter(made)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # Access lines hold addresses and paths; the metrics count requests.
    logging.getLogger("uvicorn.access").disabled = True
    for name in ("httpx", "httpcore", "django.request"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return handler
