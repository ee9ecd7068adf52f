"""Acts of a signed-in person on a case: each is the step of a command, sealed by the case itself.

The order of an act: the case is opened under its lock, an audit entry is written, the step is
sealed, and the transaction ends. A step that is refused leaves no audit entry. Who acts is the
person who is signed in, never a name that was typed.
"""

from __future__ import annotations

import platform
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.db import transaction

from wavebreak_cases.acts import ACTS
from wavebreak_cases.acts.declaration import Work
from wavebreak_cases.acts.notices import draft_notice
from wavebreak_cases.bundles.case_draft import Failure
from wavebreak_cases.bundles.workspace import CASE, CaseWorkspace
from wavebreak_cases.cases.case import Case
from wavebreak_cases.cases.notices import Notice
from wavebreak_cases.claims.exhibits import Actor
from wavebreak_cases.pages import files
from wavebreak_cases.pages.apps import CaseStore
from wavebreak_server.errors import ApiError
from wavebreak_server.http.app_context import write_audit_entry
from wavebreak_server.slices.users.models import User
from wavebreak_server.texts import translate


class StaleFormError(ApiError):
    """The case has more steps than the form knew of."""

    def __init__(self, seen: int, case: Case) -> None:
        super().__init__(
            409,
            "the case changed while you wrote",
            fix="read what was done meanwhile; what you wrote is kept below",
        )
        self.seen, self.case = seen, case


@dataclass(frozen=True)
class ActRequest:
    """An act before it is done: by whom, why, with what, and in which state it was decided on.

    `seen` is the number of steps that the form knew of; None where the order does not matter.
    """

    user: User
    reason: str
    values: Mapping[str, Any]
    clock: Callable[[], int]
    store: CaseStore
    seen: int | None = None

    @property
    def signed(self) -> dict[str, Any]:
        """Who acts in which role, and why, as a step says it."""
        return {"by": self.user.actor, "role": self.user.role, "why": self.reason}

    @property
    def host(self) -> str:
        """From which machine, as custody says it."""
        return f"console on {platform.node()}"

    def actor(self) -> Actor:
        """Who acts, as custody says it."""
        return Actor(self.user.actor, self.host, self.reason, "not stated")

    @contextmanager
    def work(self, workspace: CaseWorkspace) -> Iterator[Work]:
        """Give the act as it is done, with what was uploaded as a file of its own."""
        with tempfile.TemporaryDirectory(prefix="wavebreak-exhibit-") as place:
            values = dict(self.values)
            for name, value in values.items():
                if isinstance(value, UploadedFile):
                    values[name] = Path(place) / _file_name(value.name or "")
                    with values[name].open("wb") as file:
                        file.writelines(value.chunks())
            yield Work(
                workspace,
                values,
                **self.signed,
                host=self.host,
                secret=lambda: self.store.secret,
                policy=self.store.policy,
                names=(self.user.username, self.user.shown_name),
                session="console",
                reversals=lambda case: files.known_reversals(self.store, case),
                pictures_only=True,
            )


def _file_name(name: str) -> str:
    """A name for an uploaded file, of which nothing leads out of its directory."""
    return re.sub(r"[^\w .-]", "_", Path(name).name).lstrip(".")[:100] or "upload"


def open_case(request: ActRequest) -> tuple[str, tuple[Failure, ...]]:
    """Open a new case, and draft what the form says of its party.

    Returns:
        The case's id, and what could not be taken in. A case that does not come to its first step
        is removed.
    """
    case_id: str = request.values["id"]
    with files.open_for_act(request.store, case_id, request.clock, new=True) as workspace:
        try:
            failures = _do("open_case", case_id, request, workspace)
        except BaseException:
            if not (workspace.path / CASE).exists():
                shutil.rmtree(workspace.path, ignore_errors=True)
            raise
    return case_id, tuple(f._replace(source=Path(f.source).name) for f in failures)


def perform(name: str, case_id: str, request: ActRequest) -> Case:
    """Do an act on a case; return the case after it.

    Raises:
        ApiError: Somebody else writes to the case, the form is stale, or nothing was left to do.
        CaseError: The case does not allow the step.
    """
    with files.open_for_act(request.store, case_id, request.clock) as workspace:
        if request.seen is not None and len(workspace.case.steps) != request.seen:
            raise StaleFormError(request.seen, workspace.case)
        _do(name, case_id, request, workspace)
        return workspace.case


def _do(name: str, case_id: str, request: ActRequest, workspace: CaseWorkspace) -> Any:
    before = len(workspace.case.steps)
    with transaction.atomic(), request.work(workspace) as work:
        write_audit_entry(request.clock(), request.user.actor, name, case_id, request.reason)
        result = ACTS[name].do(work)
        if len(workspace.case.steps) == before:
            raise ApiError(422, ACTS[name].nothing, fix=translate("no step was taken"))
    return result


def draft(case_id: str, request: ActRequest) -> Notice:
    """Return a notice as it would be recorded; nothing is written."""
    with (
        files.open_for_act(request.store, case_id, request.clock) as workspace,
        request.work(workspace) as work,
    ):
        return draft_notice(work)
