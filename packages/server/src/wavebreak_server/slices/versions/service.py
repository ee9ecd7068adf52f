"""The lifecycle of a version of a policy or a model: one for both.

It is replayed over the service's log beside what decides, approved by a second person, goes live,
and is retired: by the one that follows, or by a rollback. Each step is taken by the database from
the state that a person has seen, so that of two at once one is refused. What decides is read from
the service (`HOME/policies/live`), never from these tables. What policies and models do not share
is in a `Kind`.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from asgiref.sync import async_to_sync
from django.db import transaction
from django.db.models import F

from wavebreak.errors import WavebreakError
from wavebreak_server.errors import ApiError
from wavebreak_server.http.app_context import write_audit_entry
from wavebreak_server.pipeline.live_policy import live_policy
from wavebreak_server.pipeline.service import Service
from wavebreak_server.slices.acts.actions import mark_done
from wavebreak_server.slices.users.acting_user import ActingUser
from wavebreak_server.slices.users.models import User
from wavebreak_server.slices.versions.models import PolicyReplay, Replay, Version
from wavebreak_server.slices.versions.policy_switch import Deciding, PolicySwitch
from wavebreak_server.slices.versions.replay_processes import ReplayProcesses
from wavebreak_server.texts import translate


class StaleError(ApiError):
    """A form was sent for a version that has changed since."""

    def __init__(self) -> None:
        super().__init__(
            409, "the version changed while you worked on it", fix="compare, then save again"
        )


class Acts(NamedTuple):
    """What the audit log calls the steps of a kind of version."""

    approve: str
    reject: str
    go_live: str
    roll_back: str


class Refusal(NamedTuple):
    """Why a step is refused, `{name}` being the version's, and the way out."""

    what: str
    fix: str

    def error(self, status: int, name: str = "") -> ApiError:
        """Return the error of a version."""
        return ApiError(status, translate(self.what, name=name), fix=translate(self.fix))


class Refusals(NamedTuple):
    """How the steps of a kind of version are refused."""

    unknown: Refusal
    unknown_replay: Refusal
    author: Refusal
    not_replayed: Refusal
    not_approved: Refusal
    changed_files: Refusal
    replay_runs: Refusal
    nothing_earlier: Refusal
    other_live: Refusal


class Kind(ABC):
    """What versions of policies, or of models, do not have in common with the others.

    Attributes:
        versions: Their table.
        replays: The table of their replays.
        permission: What a person needs who approves one.
        replayed: The states before and after a replay.
        acts: What the audit log calls their steps.
        refusals: How their steps are refused.
        content: The field that says which policy or model a version is.
        noted: The field of the note of what decides that has the name of a version.
    """

    versions: ClassVar[type[Any]]
    replays: ClassVar[type[Any]]
    permission: ClassVar[str]
    replayed: ClassVar[tuple[str, str]]
    acts: ClassVar[Acts]
    refusals: ClassVar[Refusals]
    content: ClassVar[str]
    noted: ClassVar[str]

    @staticmethod
    @abstractmethod
    def place(home: Path) -> Path:
        """Return the directory of all versions and replays, below that of the service."""

    @abstractmethod
    def live_name(self, service: Service) -> str:
        """Return the name of the version that decides; "": the one of `serve`."""

    @abstractmethod
    def previous_name(self, service: Service) -> str | None:
        """Return the version that a rollback returns to ("": of `serve`); None: there is none."""

    @abstractmethod
    def compared_with(self, acting: ActingUser, version: Any) -> dict[str, str]:
        """Return what a replay must have compared to hold now: files, and what decides."""

    @abstractmethod
    def check_seen(self, acting: ActingUser, version: Any, seen: str) -> None:
        """Raise ApiError (409) where a person was shown other files than those of the version."""

    @abstractmethod
    def has_its_files(self, acting: ActingUser, version: Any) -> bool:
        """Return whether the files of a version are those that were approved."""

    @abstractmethod
    def replay_command(self, acting: ActingUser, replay: Any, out: Path) -> list[str]:
        """Return the words of the command that replays the log to a directory."""

    @abstractmethod
    def wanted(self, name: str, version: Any | None) -> dict[str, Any]:
        """Return what a switch is asked for: the version of a name, or "" for that of `serve`."""


# Versions and their replays


def find_version(kind: Kind, number: int) -> Any:
    """Return a version with who wrote, approved and released it; raises ApiError (404)."""
    version = (
        kind.versions.objects.select_related("author", "approved_by", "live_by")
        .filter(id=number)
        .first()
    )
    if version is None:
        raise kind.refusals.unknown.error(404)
    return version


def newest_versions(kind: Kind, before: int | None, most: int) -> list[Any]:
    """Return the newest versions, those before a number where one is given."""
    rows = kind.versions.objects.select_related("author", "approved_by", "live_by")
    if before is not None:
        rows = rows.filter(id__lt=before)
    return list(rows.order_by("-id")[:most])


def waiting_for(kind: Kind, user: User) -> list[Any]:
    """Return the versions that wait for the approval of a person."""
    if not user.may(kind.permission):
        return []
    return list(kind.versions.objects.filter(state=kind.replayed[1]).exclude(author=user))


def version_of(kind: Kind, name: str) -> Any | None:
    """Return a version by its name; None where no version has it."""
    number = re.fullmatch(rf"{kind.versions.LETTER}(\d{{1,15}})", name)
    return kind.versions.objects.filter(id=int(number[1])).first() if number else None


def live_version(kind: Kind, service: Service) -> Any | None:
    """Return the version that decides; None: the one of `serve`."""
    return version_of(kind, kind.live_name(service))


def people_who_may_approve(kind: Kind, version: Version) -> list[str]:
    """Return who could approve a version, by the names that others see."""
    people = User.objects.filter(is_active=True).exclude(id=version.author_id).order_by("username")
    return [person.shown_name for person in people if person.may(kind.permission)]


def find_replay(kind: Kind, acting: ActingUser, number: int) -> Any:
    """Return a replay, with its end where it has ended; raises ApiError (404)."""
    replay = kind.replays.objects.select_related("of", "by").filter(id=number).first()
    if replay is None:
        raise kind.refusals.unknown_replay.error(404)
    return follow(kind, acting, replay)


def newest_replay(kind: Kind, acting: ActingUser, number: int) -> Any | None:
    """Return the newest replay of a version, with its end where it has ended."""
    newest = kind.replays.objects.filter(of=number).select_related("by").last()
    return follow(kind, acting, newest) if newest is not None else None


def replay_directory(kind: Kind, acting: ActingUser, replay: Replay) -> Path:
    """Return the directory of a replay's files."""
    of = f"{kind.versions.LETTER}{replay.of_id}.replays"
    return kind.place(acting.service.settings.home) / of / str(replay.id)


def start_replay(kind: Kind, acting: ActingUser, version: Version, **terms: Any) -> Any:
    """Replay the service's log under a version and what decides, in a process of its own.

    Args:
        kind: The kind of the version.
        acting: Who asks for it.
        version: The version, which may go live.
        terms: What the replay's row says of it beside.

    Raises:
        ApiError: Another replay runs (409).
    """
    for running in kind.replays.objects.filter(state=kind.replays.RUNNING).select_related("of"):
        if follow(kind, acting, running).state == running.RUNNING:
            raise kind.refusals.replay_runs.error(409, running.of.name)
    replay = kind.replays.objects.create(
        of=version,
        by=acting.user,
        started_ms=acting.now_ms,
        **kind.compared_with(acting, version),
        **terms,
    )
    switch, out = acting.service.switch, replay_directory(kind, acting, replay)
    options = switch.options() if isinstance(switch, PolicySwitch) else ()
    processes = acting.context.app.state_of(ReplayProcesses)
    processes.start(out, [*kind.replay_command(acting, replay, out), "-o", str(out), *options])
    return replay


def follow(kind: Kind, acting: ActingUser, replay: Replay) -> Any:
    """Note whether a replay has ended, and with what."""
    processes, out = (
        acting.context.app.state_of(ReplayProcesses),
        replay_directory(kind, acting, replay),
    )
    end = processes.ended(out) if replay.state == replay.RUNNING else None
    if end is None:
        return replay
    if end.result is not None:
        replay.state, replay.result = replay.DONE, end.result
    else:
        replay.state, replay.problem = replay.FAILED, end.problem
    replay.ended_ms = acting.now_ms
    replay.save()
    if end.result is not None:
        before, after = kind.replayed
        versions = kind.versions.objects.filter(id=replay.of_id, state=before)
        if isinstance(replay, PolicyReplay):
            # Of the files that the replay was begun for, and that its process has read.
            versions = versions.filter(digest=replay.digest)
            versions = versions.filter(digest=replay.result["digest"])
        versions.update(state=after, version=F("version") + 1)
    return replay


def valid_replay(kind: Kind, acting: ActingUser, version: Version) -> Any | None:
    """Return the newest replay that holds: of these files, against what decides now."""
    compared = kind.compared_with(acting, version)
    return version.replays.filter(state=kind.replays.DONE, **compared).last()


def is_current(kind: Kind, acting: ActingUser, replay: Replay) -> bool:
    """Return whether a replay is of the files that its version has, and of what decides now."""
    compared = kind.compared_with(acting, replay.of)
    return all(getattr(replay, name) == value for name, value in compared.items())


# Steps


def advance_if_unchanged(version: Version, states: Sequence[str], **change: Any) -> bool:
    """Change a version, if it is as it was read and in one of some states.

    The database decides: of two requests that have read the same version, one changes it.
    """
    table = type(version)
    same = table.objects.filter(id=version.id, version=version.version, state__in=states)
    if not same.update(**change, version=F("version") + 1):
        return False
    version.refresh_from_db()
    return True


def advance(version: Version, states: Sequence[str], **change: Any) -> None:
    """Change a version as `advance_if_unchanged` does; raises StaleError where it did not."""
    if not advance_if_unchanged(version, states, **change):
        raise StaleError


def approve(kind: Kind, acting: ActingUser, version: Version, reason: str, seen: str) -> None:
    """Approve a replayed version; raises ApiError where this person wrote it, or it changed."""
    if version.author_id == acting.user.id:
        raise kind.refusals.author.error(403)
    replayed = kind.replayed[1]
    if version.state != replayed or valid_replay(kind, acting, version) is None:
        raise kind.refusals.not_replayed.error(409, version.name)
    kind.check_seen(acting, version, seen)
    with transaction.atomic():
        advance(
            version,
            [replayed],
            state=version.APPROVED,
            approval=reason,
            approved_by=acting.user,
            approved_ms=acting.now_ms,
        )
        audit(kind, version, kind.acts.approve, reason, acting.user, acting.now_ms)


def reject(kind: Kind, acting: ActingUser, version: Version, reason: str) -> None:
    """Close a version that shall not go live."""
    if not version.is_open:
        raise ApiError(
            409,
            translate("{name} is {state}", name=version.name, state=version.state),
            fix=translate("there is nothing to close"),
        )
    with transaction.atomic():
        note = f"{acting.user.shown_name}: {reason}"[:500]
        advance(version, version.OPEN, state=version.REJECTED, note=note)
        audit(kind, version, kind.acts.reject, reason, acting.user, acting.now_ms)


def go_live(kind: Kind, acting: ActingUser, version: Version, reason: str) -> float:
    """Let an approved version decide; return how many seconds requests were refused.

    Raises StaleError where somebody else lets it go live, or changes it, at the same time.
    """
    now = deciding(acting.service)
    check_approved(kind, acting, version)
    return _let_decide(kind, acting, version, reason, now)


def check_approved(kind: Kind, acting: ActingUser, version: Version) -> None:
    """Raise ApiError (409) for a version that may not go live."""
    if version.state != version.APPROVED or valid_replay(kind, acting, version) is None:
        raise kind.refusals.not_approved.error(409, version.name)


def go_live_measured(kind: Kind, acting: ActingUser, version: Version, reason: str) -> float:
    """Let a version decide that a measurement of ours approves, in place of replay and person.

    Raises as `go_live`.
    """
    now = deciding(acting.service)
    with transaction.atomic():
        advance(
            version,
            version.OPEN,
            state=version.APPROVED,
            approval=reason,
            approved_by=acting.user,
            approved_ms=acting.now_ms,
        )
        audit(kind, version, kind.acts.approve, reason, acting.user, acting.now_ms)
    return _let_decide(kind, acting, version, reason, now)


def _let_decide(
    kind: Kind, acting: ActingUser, version: Version, reason: str, now: Deciding | None
) -> float:
    """Let an approved version decide, in place of what decides `now`; see `go_live`."""
    if not kind.has_its_files(acting, version):
        raise kind.refusals.changed_files.error(409, version.name)
    before = live_version(kind, acting.service)
    with going_live(version, acting):
        seconds = switch(
            acting, kind.acts.go_live, label(kind, version), reason,
            **kind.wanted(version.name, version), instead_of=now,
        )  # fmt: skip
    _retire(acting, before, "")
    return seconds


@contextmanager
def going_live(version: Version, acting: ActingUser) -> Iterator[None]:
    """Let an approved version go live within the block, once.

    Meanwhile nobody changes it. It stays approved where the block fails.
    """
    going = [version.GOING_LIVE]
    advance(
        version, [version.APPROVED], state=version.GOING_LIVE, live_by=acting.user,
        live_ms=acting.now_ms,
    )  # fmt: skip
    try:
        yield
    except BaseException:
        advance_if_unchanged(version, going, state=version.APPROVED, live_by=None, live_ms=None)
        raise
    advance_if_unchanged(version, going, state=version.LIVE)


def settle_interrupted(kinds: Sequence[Kind], home: Path) -> None:
    """Note what became of the versions that were going live when the service ended."""
    live = live_policy(home)
    for kind in kinds:
        table = kind.versions
        name = getattr(live, kind.noted) if live else ""
        for version in table.objects.filter(state=table.GOING_LIVE):
            if version.name == name:
                former = table.objects.filter(state=table.LIVE)
                former.update(
                    state=table.RETIRED, retired_ms=version.live_ms, version=F("version") + 1
                )
                advance_if_unchanged(version, [table.GOING_LIVE], state=table.LIVE)
            else:
                advance_if_unchanged(
                    version, [table.GOING_LIVE], state=table.APPROVED, live_by=None, live_ms=None
                )


def roll_back(
    kind: Kind, acting: ActingUser, reason: str, seen: str, record: str = ""
) -> tuple[str, float]:
    """Let the version before the live one decide again; return its name, and the seconds it took.

    `record` is what the audit log holds of the effect sheet. Raises ApiError where another version
    than `seen` decides by now.
    """
    now, service = deciding(acting.service), acting.service
    name, target = kind.live_name(service), kind.previous_name(service)
    if target is None:
        raise kind.refusals.nothing_earlier.error(404)
    if name != seen:
        raise kind.refusals.other_live.error(409, name or f"the first {kind.content}")
    live, earlier = version_of(kind, name), version_of(kind, target)
    noted = f"{reason} [{record}]" if record else reason
    seconds = switch(
        acting, kind.acts.roll_back, target or f"{kind.content} of serve", noted,
        **kind.wanted(target, earlier), back=True, instead_of=now,
    )  # fmt: skip
    _retire(acting, live, f"rolled back: {reason}")
    if earlier is not None:
        earlier.state, earlier.retired_ms = earlier.LIVE, None
        earlier.save(update_fields=["state", "retired_ms"])
    return target, seconds


def _retire(acting: ActingUser, version: Version | None, note: str) -> None:
    if version is not None:
        version.state, version.retired_ms = version.RETIRED, acting.now_ms
        version.note, version.version = note[:500], version.version + 1
        version.save(update_fields=["state", "retired_ms", "note", "version"])


def deciding(service: Service) -> Deciding | None:
    """Return what decides now, for a switch that must not replace anything else."""
    switch = service.switch
    return switch.deciding if isinstance(switch, PolicySwitch) else None


def switch(acting: ActingUser, act: str, what: str, reason: str, **wanted: Any) -> float:
    """Switch the service, between two states of an audit entry; see `PolicySwitch`.

    Args:
        acting: Who does it.
        act: The act, for the audit log.
        what: What goes live.
        reason: Why.
        wanted: Policy, model or mode that shall decide.

    Raises:
        ApiError: Nothing was switched.
    """
    switching = acting.service.switch
    if switching is None:
        raise ApiError(
            503, translate("this service cannot switch policies"), fix=translate("start it anew")
        )
    with transaction.atomic():
        entry = write_audit_entry(
            acting.now_ms, acting.user.actor, act, what[:128], reason, "asked"
        )
    try:
        seconds: float = async_to_sync(switching)(acting.service, **wanted)
    except ApiError:
        raise
    except WavebreakError as error:
        raise ApiError(
            503, translate("nothing was switched: {what}", what=error.what), fix=error.fix or ""
        ) from error
    with transaction.atomic():
        mark_done(entry)
    return seconds


def audit(kind: Kind, version: Version, act: str, reason: str, user: User, now_ms: int) -> int:
    """Note an act on a version in the audit log, in the open transaction."""
    return write_audit_entry(now_ms, user.actor, act, label(kind, version), reason)


def label(kind: Kind, version: Version) -> str:
    """Return what the audit log calls a version: its name, and what it is."""
    return f"{version.name} {getattr(version, kind.content)}".strip()[:128]
