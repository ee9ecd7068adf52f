"""What a demonstration has ready for its visitor: tasks on the simulated day, and a checklist.

The tasks are prepared by the functions that pages and API call, on what was really decided: the
largest operator, an honest person who was slowed, an appeal in Hebrew that waits for its code.
"""

from __future__ import annotations

import asyncio
import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

from wavebreak.engine import account_queries
from wavebreak.languages import msgid
from wavebreak.linking import Operator
from wavebreak.outcomes import MEETING, WITHOUT_STATEMENT
from wavebreak_server.console.plugins import installed_plugins
from wavebreak_server.http.app_context import AppContext, run_background_query, run_in_transaction
from wavebreak_server.pipeline.holder_notices import HolderNotices
from wavebreak_server.pipeline.service import Background, Service
from wavebreak_server.slices.appeals import service as appeals
from wavebreak_server.slices.appeals.models import Appeal
from wavebreak_server.storage.authentic_rows import checked_decisions
from wavebreak_server.storage.models import Decision

LOOK_S = 1.0
"""Seconds between two looks at whether the day is decided."""
QUIET_LOOKS = 5
"""Looks without a new decision after which it is."""
MOST_LOOKS = 120
"""Looks after which the tasks are prepared on what there is: a live stream goes on."""
NEWEST = 500
"""Newest decisions among which tasks are looked for."""
MAX_PREPARATIONS, PREPARED_EVERY_S = 30, 15.0
STREAM_LABELS = "demo-labels.csv"
"""File of a service's directory with the labels of the day that is sent to it."""
_OPERATOR = msgid(
    "A spammer with {n} linked accounts, {abusive} of them found abusive: see the links, and act "
    "on all at once"
)
_SLOWED = msgid(
    "An honest person ({persona}) who was slowed: read why, free the account, and undo it"
)
_APPEAL = msgid(
    "An appeal in Hebrew: type the code that its page shows, then answer it under Appeals"
)
_CASE = msgid("A legal case, as counsel: see what is missing, and what would change it")
LANGUAGE = "he"
STATEMENT = "אני משתמש אמיתי: כתבתי ללקוחות שביקשו ממני לעדכן אותם. נא לבטל את ההגבלה."
"""What the holder of the prepared appeal writes, in Hebrew."""
FIRST_PERSONA = "courier"
"""The honest persona that is looked for first."""


@dataclass(frozen=True)
class Prepared:
    """What was prepared; empty texts where the day had nothing for it.

    Attributes:
        operator: The operator with most accounts that were found abusive.
        slowed: An honest account that was slowed.
        persona: What kind of person it is.
        appeal_url: Where the holder of another account types the code of an appeal in Hebrew.
    """

    operator: Operator | None = None
    slowed: str = ""
    persona: str = ""
    appeal_url: str = ""


@dataclass(frozen=True)
class Honest:
    """Whom the simulation knows to be honest: the persona of each account."""

    personas: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def read(labels: Path) -> Honest:
        """Read the labels of a simulated day; nobody where there are none."""
        if not labels.is_file():
            return Honest()
        with labels.open(encoding="utf-8", newline="") as lines:
            rows = csv.DictReader(lines)
            return Honest({r["account"]: r["family"] for r in rows if r["label"] == "benign"})


class Task(NamedTuple):
    """A task for the visitor: a sentence with its values, and the address where it begins."""

    text: str
    values: dict[str, Any]
    url: str


class DemoTour:
    """What the overview says of a demonstration: that its day is decided still, then the tasks.

    They grow while the day goes on, until `is_complete`.
    """

    def __init__(self) -> None:
        self.is_demo = self.is_ready = self.is_complete = False
        self.tasks: list[Task] = []


def demo_story(app: AppContext, labels: Path) -> Background:
    """Return the task that prepares a demonstration's tasks, and reports the checklist.

    Args:
        app: The application.
        labels: The labels of the simulated day.
    """
    tour = app.state_of(DemoTour)
    tour.is_demo = True

    async def run(service: Service) -> None:
        await _until_decided()
        reported = list[Task]()
        for _ in range(MAX_PREPARATIONS):
            operators = await service.query(account_queries.operators)
            work = partial(prepare, app, operators, Honest.read(labels), service.clock())
            prepared = await run_background_query(work)
            tour.tasks = tasks(app.holder_notices.public_url, prepared)
            tour.is_ready = True
            if tour.tasks != reported and (prepared.slowed or not reported):
                reported = tour.tasks
                for line in checklist(reported):
                    service.report(line)
            if prepared.slowed:
                break
            # A live stream goes on: an honest person may be slowed later.
            await asyncio.sleep(PREPARED_EVERY_S)
        tour.is_complete = True

    return run


async def _until_decided() -> None:
    """Wait until decisions have ceased, or a stream of them has gone on for long enough."""
    decided, quiet = 0, 0
    for _ in range(MOST_LOOKS):
        newest = await run_background_query(Decision.objects.count)
        quiet = quiet + 1 if newest and newest == decided else 0
        decided = newest
        if quiet >= QUIET_LOOKS:
            return
        await asyncio.sleep(LOOK_S)


def prepare(
    app: AppContext, operators: Iterable[Operator], honest: Honest, now_ms: int
) -> Prepared:
    """Prepare the tasks on what was decided; the same ones where it was done before.

    Args:
        app: The application.
        operators: The operators that linking found.
        honest: Whom the simulation knows to be honest.
        now_ms: The present.
    """
    abusers = [each for each in operators if not each.victims]
    largest = max(abusers, key=lambda o: (len(o.abusive), len(o.accounts)), default=None)
    met = list(_met())
    slowed, persona = _slowed(met, honest)
    appealing = _appealing(app, met, honest, now_ms, slowed)
    url = ""
    if appealing is not None:
        run_in_transaction(partial(_submit, app, appealing, now_ms))
        url = f"{app.holder_notices.links(appealing).appeal}?lang={LANGUAGE}"
    return Prepared(largest, slowed, persona, url)


def tasks(url: str, prepared: Prepared) -> list[Task]:
    """Return what to try, in order.

    Args:
        url: The address of the service.
        prepared: What was prepared.
    """
    console, found = f"{url}/console", list[Task]()
    if prepared.operator is not None:
        counts = {"n": len(prepared.operator.accounts), "abusive": len(prepared.operator.abusive)}
        operator = f"{console}/operators/{prepared.operator.id}"
        found.append(Task(_OPERATOR, counts, operator))
    if prepared.slowed:
        account = f"{console}/accounts/{quote(prepared.slowed, safe='')}"
        persona = prepared.persona.replace("_", " ")
        found.append(Task(_SLOWED, {"persona": persona}, account))
    if prepared.appeal_url:
        found.append(Task(_APPEAL, {}, prepared.appeal_url))
    if installed_plugins():
        found.append(Task(_CASE, {}, f"{console}/cases"))
    return found


def checklist(found: Sequence[Task]) -> Iterator[str]:
    """Yield the tasks as lines of a terminal, each with its address."""
    if found:
        yield "to try, in about ten minutes (sign in as lead):"
    for number, task in enumerate(found, 1):
        yield f"{number}. {task.text.format(**task.values)}: {task.url}"


def _met() -> Iterator[dict[str, Any]]:
    """Yield the newest decisions by which somebody is met, newest first, one for each account."""
    newest = Decision.objects.exclude(outcome__in=WITHOUT_STATEMENT).order_by("-number")[:NEWEST]
    seen = set[str]()
    for row in checked_decisions(newest):
        decision = msgspec.json.decode(bytes(row.body)) | {"number": row.number}
        if decision["account"] not in seen:
            seen.add(decision["account"])
            if decision["outcome"] in MEETING:
                yield decision


def _slowed(met: Iterable[dict[str, Any]], honest: Honest) -> tuple[str, str]:
    """Return an honest account that was met, a courier where there is one, and its persona."""
    known = [
        (each["account"], honest.personas[each["account"]])
        for each in met
        if each["account"] in honest.personas
    ]
    return min(known, key=lambda each: (each[1] != FIRST_PERSONA, each), default=("", ""))


def _appealing(
    app: AppContext, met: Iterable[dict[str, Any]], honest: Honest, now_ms: int, slowed: str
) -> dict[str, Any] | None:
    """Return a decision against which an appeal can be prepared, an honest account's first."""
    others = [each for each in met if each["account"] != slowed]
    others.sort(key=lambda each: (each["account"] not in honest.personas, -each["number"]))
    notices = app.holder_notices
    return next((each for each in others if _open_to_appeal(notices, each, now_ms)), None)


def _open_to_appeal(notices: HolderNotices, decision: Mapping[str, Any], now_ms: int) -> bool:
    made = notices.notice(decision)
    if made is None or made.notify_at_ms > now_ms:
        return False
    found = appeals.appeal_of(str(decision["id"]))
    waits = found is None or found.state == Appeal.UNVERIFIED
    return waits and appeals.may_appeal(notices, decision, now_ms)


def _submit(app: AppContext, decision: Mapping[str, Any], now_ms: int) -> None:
    """Write an appeal that waits for its code, unless one waits already."""
    if appeals.appeal_of(str(decision["id"])) is None:
        appeals.submit(decision, STATEMENT, LANGUAGE, now_ms, shows_codes=app.shows_codes)
