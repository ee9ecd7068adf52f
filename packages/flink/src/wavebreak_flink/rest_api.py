"""Flink's REST API, as far as the commands ask it."""

from __future__ import annotations

import http.client
import json
import re
import time
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

from wavebreak.errors import UsageError

DEFAULT = "http://127.0.0.1:8081"
_MOST_BYTES = 8 << 20
_TIMEOUT_S, _PAUSE_S = 30, 0.2
_OWN_ERROR = re.compile(r"^(?:Caused by: )?wavebreak\w*\.errors\.\w+: (.+)$", re.MULTILINE)
ENDED = ("FINISHED", "FAILED", "CANCELED")


class Address(NamedTuple):
    """Where a cluster's REST API is."""

    host: str
    port: int
    secure: bool = False

    @classmethod
    def of(cls, url: str) -> Self:
        """Parse a URL.

        Raises:
            UsageError: It is none.
        """
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in ("http", "https") or not parts.hostname or port == -1:
            raise UsageError(f"{url} is no address of Flink", fix=f"write it as {DEFAULT}")
        return cls(parts.hostname, port or (443 if parts.scheme == "https" else 80),
                   parts.scheme == "https")  # fmt: skip


class Overview(NamedTuple):
    """What a cluster says of a job: its state, its failures, and its last checkpoint (ms)."""

    state: str
    parallelism: int
    restarts: int
    checkpoints: int
    checkpoint_ms: int
    failure: str

    @property
    def reason(self) -> str:
        """The error of Wavebreak's that a failure ends with, else the first line of Flink's."""
        if own := _OWN_ERROR.findall(self.failure):
            return str(own[-1])
        return next(iter(self.failure.strip().splitlines()), "")


class RestApi:
    """The REST API of a cluster."""

    def __init__(self, address: Address) -> None:
        self._address = address

    def overview(self, job: str) -> Overview:
        """Return what the cluster says of a job."""
        found = self._ask("GET", f"/jobs/{job}")
        checkpoints = self._ask("GET", f"/jobs/{job}/checkpoints")
        latest = checkpoints["latest"]["completed"] or {}
        exceptions = self._ask("GET", f"/jobs/{job}/exceptions")["exceptionHistory"]["entries"]
        return Overview(
            found["state"],
            max((vertex["parallelism"] for vertex in found["vertices"]), default=0),
            checkpoints["counts"]["restored"],
            checkpoints["counts"]["completed"],
            int(latest.get("latest_ack_timestamp", 0)),
            exceptions[0]["stacktrace"] if exceptions else "",
        )

    def savepoint(self, job: str, directory: str, *, stop: bool) -> str:
        """Make a savepoint of a job, and stop the job where it is to; return where it lies.

        Raises:
            UsageError: The cluster could not.
        """
        body = {"targetDirectory": directory, "drain": False} if stop else {
            "target-directory": directory, "cancel-job": False
        }  # fmt: skip
        path = f"/jobs/{job}/stop" if stop else f"/jobs/{job}/savepoints"
        request = self._ask("POST", path, body)["request-id"]
        while True:
            said = self._ask("GET", f"/jobs/{job}/savepoints/{request}")
            if said["status"]["id"] == "COMPLETED":
                break
            time.sleep(_PAUSE_S)
        done = said["operation"]
        if "location" not in done:
            cause = done.get("failure-cause", {}).get("stack-trace", "")
            raise UsageError(
                f"the savepoint failed: {_root_cause(cause)}",
                fix="see `wavebreak flink status`, and try again when the job runs",
            )
        return str(done["location"])

    def task_managers(self) -> int:
        """Return how many TaskManagers the cluster has."""
        return int(self._ask("GET", "/overview")["taskmanagers"])

    def is_running(self, job: str) -> bool:
        """Whether the cluster knows a job that has not ended."""
        known = {each["id"]: each["status"] for each in self._ask("GET", "/jobs")["jobs"]}
        return known.get(job, ENDED[0]) not in ENDED

    def cancel(self, job: str) -> None:
        """Cancel a job."""
        self._ask("PATCH", f"/jobs/{job}?mode=cancel")

    def wait_for(self, job: str, states: tuple[str, ...] = ENDED) -> str:
        """Wait until a job is in one of some states; return which."""
        while (state := str(self._ask("GET", f"/jobs/{job}")["state"])) not in (*states, *ENDED):
            time.sleep(_PAUSE_S)
        return state

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        kind = http.client.HTTPSConnection if self._address.secure else http.client.HTTPConnection
        connection = kind(self._address.host, self._address.port, timeout=_TIMEOUT_S)
        where = (
            f"http{'s' if self._address.secure else ''}://{self._address.host}:{self._address.port}"
        )
        try:
            connection.request(
                method, path, json.dumps(body) if body is not None else None,
                {"Content-Type": "application/json"},
            )  # fmt: skip
            answer = connection.getresponse()
            content = answer.read(_MOST_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise UsageError(
                f"no Flink answers at {where} ({error or type(error).__name__})",
                fix="start the cluster, or give its address: --flink",
            ) from None
        finally:
            connection.close()
        if answer.status == 404:
            raise UsageError(
                f"the cluster at {where} knows no such job", fix="submit the job again"
            )
        if answer.status >= 400:
            errors = json.loads(content or b"{}").get("errors", [answer.reason])
            raise UsageError(
                f"Flink at {where} says: {str(errors[0]).strip().splitlines()[0]}",
                fix="see the log of the JobManager",
            )
        return json.loads(content or b"{}")


def _root_cause(stack_trace: str) -> str:
    """Return the innermost cause that a stack trace of Java names, else its first line."""
    lines = stack_trace.strip().splitlines()
    causes = [line for line in lines if line.startswith("Caused by: ")]
    return ["no reason given", *lines[:1], *causes][-1]
