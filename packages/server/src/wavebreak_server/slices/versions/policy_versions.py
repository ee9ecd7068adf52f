"""Versions of the local policy: draft, check, replay, a second person's approval, live, rollback.

The files of a version lie in a directory that their digest names; `HOME/policies/live` says which
one decides (`service.live_policy`). A change of its files is another directory and sets a version
back, so that what goes live is what was replayed and approved. Each step is taken by the database
from the state and the files that a person has seen, so that of two at once one is refused. Which
policy decides is read from the service, never from this table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import msgspec
from asgiref.sync import async_to_sync
from django.db import transaction
from django.db.models import F

from wavebreak import config
from wavebreak.errors import PolicyError, WavebreakError
from wavebreak.rules import Policy, Rule, load_policy
from wavebreak.rules.conditions import condition_lines
from wavebreak_server.errors import ApiError
from wavebreak_server.http.app_context import write_audit_entry
from wavebreak_server.pipeline.decide import load_decide_policy, load_quota_config
from wavebreak_server.pipeline.live_policy import (
    digest_of,
    files_digest,
    live_policy,
    policies_directory,
    policy_files,
    remove_files,
    store_files,
    version_directory,
    write_files,
)
from wavebreak_server.pipeline.service import Service
from wavebreak_server.slices.acts.actions import mark_done
from wavebreak_server.slices.calibration import service as calibration_schedule
from wavebreak_server.slices.users.acting_user import ActingUser
from wavebreak_server.slices.users.models import User
from wavebreak_server.slices.versions import policy_checks, replay_processes
from wavebreak_server.slices.versions.models import ModelVersion, PolicyReplay, PolicyVersion
from wavebreak_server.slices.versions.policy_switch import Deciding, PolicySwitch

SHEETS = ("actions.toml", "evidence.toml", "service.toml", "quota.toml")
"""Files that a version may change, beside those of rules."""
MAX_TEXT, MAX_ALL, MAX_FILES = 200_000, 1_000_000, 40
"""Characters of a file, and of all files of a version; files."""
MAX_WHAT = 500
_FILE = re.compile(r"rules/[a-z][a-z0-9_]{0,40}\.toml")
_BLOCK = re.compile(r"^\[\[rule\]\]\n.*?(?=^\[\[rule\]\]|\Z)", re.M | re.S)


class Problem(NamedTuple):
    """Why a version does not load: what, how to correct it, and where."""

    what: str
    fix: str
    file: str = ""
    line: int = 0


class StaleError(ApiError):
    """A form was sent for files that have changed since."""

    def __init__(self) -> None:
        super().__init__(
            409, "the version changed while you worked on it", fix="compare, then save again"
        )


# Where versions lie, and which one decides


def directory_of(acting: ActingUser, version: PolicyVersion) -> Path:
    """Return the directory of a version."""
    return version_directory(acting.service.settings.home, version.name, version.digest)


def live_version(service: Service) -> PolicyVersion | None:
    """Return the version that decides; None: a calibration, or the policy of `serve`."""
    return version_of(live_name(service))


def live_policy_of(acting: ActingUser) -> Policy:
    """Return the policy that decides."""
    live: Policy = acting.service.responder.policy
    return live


def live_since(service: Service) -> int | None:
    """Return when the policy that decides went live in the console (ms)."""
    live = live_policy(service.settings.home)
    same = live is not None and live.policy == service.responder.policy.version
    return live.at_ms if live is not None and same else None


def live_directory(acting: ActingUser) -> Path | None:
    """Return the directory of the policy that decides (None: the shipped one)."""
    return directory_that_decides(acting.service)


def directory_that_decides(service: Service) -> Path | None:
    """Return the directory of the policy that a service decides by (None: the shipped one)."""
    live = live_policy(service.settings.home)
    if live is not None and live_name(service):
        return version_directory(service.settings.home, live.version, live.digest)
    switch = service.switch
    return switch.base if isinstance(switch, PolicySwitch) else None


def effective_text(directory: Path | None, name: str) -> str:
    """Return a file as a policy uses it: its own, or else the shipped one; "" without either."""
    path = config.resolve_path(name, directory)
    return path.read_text("utf-8") if path.is_file() else ""


def file_names(directory: Path | None) -> list[str]:
    """Return the files that a version may change: rules, shipped or its own, and sheets."""
    found = {f"rules/{path.name}" for path in (config.SHIPPED / "rules").glob("*.toml")}
    if directory:
        found |= {name for name in policy_files(directory) if _FILE.fullmatch(name)}
    return [*sorted(found), *SHEETS]


def file_of_rule(directory: Path | None, rule_id: str) -> str:
    """Return the file in which a policy finds a rule; "" where it has none of that id."""
    return next(
        (
            name
            for name in file_names(directory)
            if name.startswith("rules/") and block_of(effective_text(directory, name), rule_id)
        ),
        "",
    )


def block_of(text: str, rule_id: str) -> str:
    r"""Return the text of one rule in a file of rules; "" where it has none of that id.

    >>> block_of('[[rule]]\nid = "a_rule"\n\n[[rule]]\nid = "other"\n', "other")
    '[[rule]]\nid = "other"\n'
    """
    blocks = (found[0] for found in _BLOCK.finditer(text))
    return next((b for b in blocks if re.search(rf'^id = "{re.escape(rule_id)}"$', b, re.M)), "")


def with_rule(whole: str, rule_id: str, text: str) -> tuple[str, int]:
    """Return a file with the text of one rule replaced, or added; and the lines before it."""
    block, text = block_of(whole, rule_id), text.strip() + "\n"
    before, _, after = whole.partition(block) if block else (whole.rstrip() + "\n\n", "", "")
    joined = f"{before}{text}\n{after.lstrip()}" if after.strip() else f"{before}{text}"
    return joined.lstrip(), before.lstrip().count("\n")


# Checking


def check(directory: Path) -> tuple[str, Problem | None]:
    """Check a version as `wavebreak rules check` does; return its policy, or the first problem.

    The rules are checked in a process with limits (`policy_checks`).
    """
    found = policy_checks.check_rules(directory)
    if not found.version:
        return "", located(directory, found.what, found.fix)
    try:
        load_decide_policy(directory)
        load_quota_config(directory)
    except PolicyError as error:
        return "", located(directory, error.what, error.fix or "")
    return found.version, None


def check_files(acting: ActingUser, files: Mapping[str, str]) -> Problem | None:
    """Check files as if they were those of a version; return the first problem."""
    if too_large := _too_large(files):
        return too_large
    policies = policies_directory(acting.service.settings.home)
    policies.mkdir(mode=0o700, exist_ok=True)
    with TemporaryDirectory(prefix="checked.", dir=policies) as tried:
        write_files(Path(tried), files)
        return check(Path(tried))[1]


def _too_large(files: Mapping[str, str]) -> Problem | None:
    if len(files) > MAX_FILES:
        return Problem(f"there are {len(files)} files", f"keep at most {MAX_FILES}")
    if sum(map(len, files.values())) > MAX_ALL:
        return Problem(f"the files exceed {MAX_ALL:,} characters", "shorten them")
    return None


def located(directory: Path, what: str, fix: str) -> Problem:
    """Return a problem with the file and the line that it speaks of."""
    what = what if len(what) <= MAX_WHAT else what[: MAX_WHAT - 1] + "…"
    found = re.match(r"([\w./-]+\.toml)", what)
    name = Path(found[1]).name if found else ""
    files = [f for f in file_names(directory) if Path(f).name == name]
    file = next((f for f in files if (directory / f).exists()), files[0] if files else "")
    line = line_of(effective_text(directory, file), what) if file else 0
    return Problem(what, fix, file, line)


def stored_problem(version: PolicyVersion, directory: Path) -> Problem | None:
    """Return why a version does not load, as its last check found."""
    what, _, fix = version.problem.partition("\n")
    return located(directory, what, fix) if what else None


def line_of(text: str, what: str) -> int:
    r"""Return the line of a policy file that an error speaks of; 1 where it names none.

    >>> text = 'x = 1\n[[rule]]\nid = "a_rule"\noutcome = "ban"\n'
    >>> line_of(text, "own.toml, a_rule, outcome: wrong"), line_of(text, "f: (at line 2, column 1)")
    (4, 2)
    """
    if found := re.search(r"at line (\d+)", what):
        return int(found[1])
    lines, start = text.splitlines(), 0
    named = re.match(r"[\w./-]+\.toml, (\w+)", what)
    if named:
        own = (n for n, row in enumerate(lines) if re.match(rf'id = "{named[1]}"\s*$', row))
        start = next(own, 0)
        places: dict[str, int] = {}
        for n in range(max(0, start - 2), len(lines)):
            if n > start and lines[n].startswith("[["):
                break
            if field := re.match(r"([a-z_][a-z0-9_]*)\s*=", lines[n]):
                places.setdefault(field[1], n)
        for word in re.findall(r"[a-z_][a-z0-9_]*", what[named.end() :]):
            if word in places:
                return places[word] + 1
    return start + 1


# What a version changes


class RuleChange(NamedTuple):
    """What becomes of a rule: new, removed or changed, and how, in words."""

    rule: str
    kind: str
    words: list[str]


_NAMES = {"hold": "for", "review_by": "to be reviewed by", "false_actions": "will wrongly meet"}


def changed_rules(before: Policy, after: Policy) -> list[RuleChange]:
    """Return the rules that two policies do not share as they are, and tables that differ."""
    changes = []
    for rule in after.rules:
        old = before.rule(rule.id)
        if old is None:
            effect = rule.outcome or f"label {rule.label}"
            changes.append(RuleChange(rule.id, "new", [f"{effect}, {rule.mode}: {rule.about}"]))
        elif words := list(_differences(old, rule)):
            changes.append(RuleChange(rule.id, "changed", words))
    kept = {name for rule in after.rules for name in (rule.id, *rule.aliases)}
    changes += [
        RuleChange(rule.id, "removed", [rule.about]) for rule in before.rules if rule.id not in kept
    ]
    for table in ("enforcement", "score", "feedback", "evidence", "actions"):
        pair = [msgspec.to_builtins(getattr(policy, table)) for policy in (before, after)]
        words = [
            f"{name}: {pair[0].get(name, '–')} → {pair[1].get(name, '–')}"
            for name in dict.fromkeys((*pair[0], *pair[1]))
            if pair[0].get(name) != pair[1].get(name)
        ]
        if words:
            changes.append(RuleChange(f"[{table}]", "changed", words))
    return changes


def _differences(old: Rule, new: Rule) -> Iterator[str]:
    if old.expression != new.expression:
        before, after = ([x.strip(" -`") for x in condition_lines(r.when)] for r in (old, new))
        yield from (f"no longer: {line}" for line in before if line not in after)
        yield from (f"now: {line}" for line in after if line not in before)
        if set(before) == set(after):
            yield "the conditions are combined otherwise"
    for name in old.__struct_fields__:
        values = getattr(old, name), getattr(new, name)
        if name in ("when", "id", "aliases") or values[0] == values[1]:
            continue
        if name in ("fires_on", "stays_quiet_on"):
            yield f"{name}: {len(values[0])} → {len(values[1])} examples, not all the same"
        else:
            yield f"{_NAMES.get(name, name)}: {_word(values[0])} → {_word(values[1])}"


def _word(value: Any) -> str:
    if value is None:
        return "–"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


@lru_cache(maxsize=8)
def loaded(directory: Path, digest: str) -> Policy:
    """Return the policy of a version that loads, once for a digest; raises PolicyError."""
    return load_policy(directory, compiled=False)


def changed_files(acting: ActingUser, version: PolicyVersion) -> list[tuple[str, str, str]]:
    """Return the files that differ from the live policy: name, live text, text of the version."""
    live, own = live_directory(acting), directory_of(acting, version)
    names = dict.fromkeys((*file_names(live), *file_names(own)))
    texts = ((name, effective_text(live, name), effective_text(own, name)) for name in names)
    return [each for each in texts if each[1] != each[2]]


# Drafts


def create_draft(
    acting: ActingUser, reason: str, start: PolicyVersion | None = None
) -> PolicyVersion:
    """Create a draft: a copy of the live policy, or of another version.

    Args:
        acting: Who creates it.
        reason: Why.
        start: The version to copy (None: the live policy).

    """
    source = directory_of(acting, start) if start else live_directory(acting)
    with transaction.atomic():
        made: PolicyVersion = PolicyVersion.objects.create(
            author=acting.user,
            parent=start or live_version(acting.service),
            reason=reason,
            created_ms=acting.now_ms,
            changed_ms=acting.now_ms,
        )
        _audit(acting, "create_policy", made, reason)
    _store(acting, made, policy_files(source) if source else {})
    return made


def _store(acting: ActingUser, version: PolicyVersion, files: Mapping[str, str]) -> Problem | None:
    """Check a version's new files, and let the version have them; return the first problem.

    Raises StaleError where the version is not as it was read, or is no longer open.
    """
    if too_large := _too_large(files):
        raise ApiError(422, too_large.what, fix=too_large.fix)
    home, former = acting.service.settings.home, version.digest
    directory, digest = store_files(home, version.name, files), digest_of(files)
    policy, problem = check(directory) if files else ("", None)
    taken = advance_if_unchanged(
        version,
        PolicyVersion.OPEN,
        digest=digest,
        changed_ms=acting.now_ms,
        problem=f"{problem.what}\n{problem.fix}" if problem else "",
        state=PolicyVersion.CHECKED if policy else PolicyVersion.DRAFT,
        policy=policy,
        approved_by=None,
        approved_ms=None,
        approval="",
    )
    _remove_unused(home, version, former if taken else digest)
    if not taken:
        raise StaleError
    return problem


def _remove_unused(home: Path, version: PolicyVersion, digest: str) -> None:
    """Remove files that neither a version nor a replay of it refers to any more."""
    used = PolicyVersion.objects.filter(id=version.id, digest=digest)
    if digest and not used.exists() and not version.replays.filter(digest=digest).exists():
        remove_files(home, version.name, digest)


def advance_if_unchanged(version: Any, states: Sequence[str], **change: Any) -> bool:
    """Change a version of a policy or a model, if it is as it was read and in one of some states.

    The database decides: of two requests that have read the same version, one changes it.
    """
    kind = type(version)
    same = kind.objects.filter(id=version.id, version=version.version, state__in=states)
    if not same.update(**change, version=F("version") + 1):
        return False
    version.refresh_from_db()
    return True


def advance(version: Any, states: Sequence[str], **change: Any) -> None:
    """Change a version as `advance_if_unchanged` does; raises StaleError where it did not."""
    if not advance_if_unchanged(version, states, **change):
        raise StaleError


def own_draft(acting: ActingUser, version: PolicyVersion) -> PolicyVersion:
    """Return a version that this person may change; raises ApiError (403, 409)."""
    if not version.is_open:
        raise ApiError(
            409, f"{version.name} is {version.state}", fix="start a draft from it, or a new one"
        )
    if version.author_id != acting.user.id:
        raise ApiError(
            403,
            f"{version.name} is a draft of {version.author.shown_name}",
            fix="start a draft of your own from it: who approves must not have written it",
        )
    return version


def save_file(
    acting: ActingUser, version: PolicyVersion, name: str, text: str, seen: str, rule: str = ""
) -> Problem | None:
    """Save a file of a draft, or one rule of it, and check the whole; return the first problem.

    A text that does not load is kept in the draft, which then cannot be replayed.

    Args:
        acting: Who saves.
        version: The draft.
        name: The file.
        text: Its text, or the text of the rule.
        seen: The digest of the files that the form was opened with.
        rule: The id of the rule that `text` replaces ("": the whole file).

    Raises:
        StaleError: The files have changed since.
        ApiError: The draft is not this person's, or has no such file.

    """
    own_draft(acting, version)
    if name not in SHEETS and not _FILE.fullmatch(name):
        raise ApiError(
            422, "there is no such file", fix="name it rules/NAME.toml, in a-z, 0-9 and _"
        )
    if len(text) > MAX_TEXT:
        raise ApiError(422, f"the text exceeds {MAX_TEXT:,} characters", fix="make it two files")
    directory = directory_of(acting, version)
    files = _files_seen(version, directory, seen)
    text = text.replace("\r\n", "\n").rstrip() + "\n"
    if rule:
        text = with_rule(effective_text(directory, name), rule, text)[0]
    shipped = config.SHIPPED / name
    if shipped.is_file() and shipped.read_text("utf-8") == text:
        files.pop(name, None)
    else:
        files[name] = text
    problem = _store(acting, version, files)
    return within_rule(problem, directory_of(acting, version), name, rule)


def _files_seen(version: PolicyVersion, directory: Path, seen: str) -> dict[str, str]:
    """Return a version's files; raises StaleError where they are not those that a form showed."""
    files = policy_files(directory)
    if seen != version.digest:
        raise StaleError
    if seen != digest_of(files):
        raise ApiError(
            409, f"the files of {version.name} were changed outside of the console",
            fix="restore them from a backup, or start another draft",
        )  # fmt: skip
    return files


def within_rule(
    problem: Problem | None, directory: Path, name: str, rule_id: str
) -> Problem | None:
    """Count a problem's line from the begin of a rule, where it is in its file."""
    if problem is None or not rule_id or problem.file != name:
        return problem
    whole = effective_text(directory, name)
    before = whole.partition(block_of(whole, rule_id))[0]
    return problem._replace(line=max(1, problem.line - before.count("\n")))


def check_text(
    acting: ActingUser, version: PolicyVersion, name: str, text: str, rule: str = ""
) -> Problem | None:
    """Check a text as if it were saved; nothing is stored."""
    directory = directory_of(acting, version)
    if name not in SHEETS and not _FILE.fullmatch(name):
        return Problem("there is no such file", "name it rules/NAME.toml")
    if len(text) > MAX_TEXT:
        return Problem(f"the text exceeds {MAX_TEXT:,} characters", "make it two files")
    whole, offset = text.replace("\r\n", "\n"), 0
    if rule:
        whole, offset = with_rule(effective_text(directory, name), rule, whole)
    problem = check_files(acting, policy_files(directory) | {name: whole})
    return problem._replace(line=max(1, problem.line - offset)) if problem else None


def delete_file(acting: ActingUser, version: PolicyVersion, name: str, seen: str) -> Problem | None:
    """Take a version's own file away, so that the shipped one, if any, counts again."""
    own_draft(acting, version)
    files = _files_seen(version, directory_of(acting, version), seen)
    files.pop(name, None)
    return _store(acting, version, files)


# Replays


def replay_directory(acting: ActingUser, replay: PolicyReplay) -> Path:
    """Return the directory of a replay's files."""
    of = policies_directory(acting.service.settings.home) / f"v{replay.of_id}.replays"
    return of / str(replay.id)


def start_replay(acting: ActingUser, version: PolicyVersion) -> PolicyReplay:
    """Replay the service's log under the live policy and a version, in a process of its own.

    Raises ApiError (409) while another one runs, or where the version does not load.
    """
    if not version.is_open or not version.policy:
        raise ApiError(
            409, f"{version.name} cannot be replayed", fix="correct what its page says first"
        )
    for running in PolicyReplay.objects.filter(state=PolicyReplay.RUNNING).select_related("of"):
        if follow(acting, running).state == PolicyReplay.RUNNING:
            raise ApiError(
                409, f"a replay of {running.of.name} is running", fix="wait until it has ended"
            )
    directory = directory_of(acting, version)
    made: PolicyReplay = PolicyReplay.objects.create(
        of=version,
        by=acting.user,
        started_ms=acting.now_ms,
        digest=version.digest,
        live=acting.service.responder.policy.version,
    )
    live, switch = live_directory(acting), acting.service.switch
    options = switch.options() if isinstance(switch, PolicySwitch) else ()
    out = replay_directory(acting, made)
    command = [
        "rules", "replay", str(acting.service.settings.home),
        "--policy", str(directory), "-o", str(out), *options,
        *(["--live", str(live)] if live else []),
    ]  # fmt: skip
    replay_processes.start(out, command)
    return made


def store_end(replay: Any, out: Path, now_ms: int) -> bool:
    """Store that a replay of a policy or a model has ended; return whether it has now, and well.

    Args:
        replay: The replay, as it was read.
        out: The directory that its process writes to.
        now_ms: The time.
    """
    end = replay_processes.ended(out) if replay.state == replay.RUNNING else None
    if end is None:
        return False
    if end.result is not None:
        replay.state, replay.result = replay.DONE, end.result
    else:
        replay.state, replay.problem = replay.FAILED, end.problem
    replay.ended_ms = now_ms
    replay.save()
    return end.result is not None


def follow(acting: ActingUser, replay: PolicyReplay) -> PolicyReplay:
    """Note whether a replay has ended, and with what."""
    ended = store_end(replay, replay_directory(acting, replay), acting.now_ms)
    if ended and replay.result["digest"] == replay.digest:
        PolicyVersion.objects.filter(
            id=replay.of_id, state=PolicyVersion.CHECKED, digest=replay.digest
        ).update(state=PolicyVersion.REPLAYED, version=F("version") + 1)
    return replay


def valid_replay(acting: ActingUser, version: PolicyVersion) -> PolicyReplay | None:
    """Return the newest replay that holds: of these files, against the policy that decides now."""
    found: PolicyReplay | None = version.replays.filter(
        state=PolicyReplay.DONE,
        digest=version.digest,
        live=acting.service.responder.policy.version,
    ).last()
    return found


# Approval, live, rollback


def approve(acting: ActingUser, version: PolicyVersion, reason: str, seen: str) -> None:
    """Approve a replayed version; raises ApiError where this person wrote it, or it changed."""
    if version.author_id == acting.user.id:
        raise ApiError(
            403, "you wrote this version", fix="ask a lead or another policy owner to approve it"
        )
    if version.state != PolicyVersion.REPLAYED or valid_replay(acting, version) is None:
        raise ApiError(
            409,
            f"{version.name} has no replay against the policy that decides now",
            fix="replay it first",
        )
    _files_seen(version, directory_of(acting, version), seen)
    with transaction.atomic():
        advance(
            version,
            [PolicyVersion.REPLAYED],
            state=PolicyVersion.APPROVED,
            approval=reason,
            approved_by=acting.user,
            approved_ms=acting.now_ms,
        )
        _audit(acting, "approve_policy", version, reason)


def reject(acting: ActingUser, version: PolicyVersion, reason: str) -> None:
    """Close a version that shall not go live."""
    if not version.is_open:
        raise ApiError(409, f"{version.name} is {version.state}", fix="there is nothing to close")
    with transaction.atomic():
        note = f"{acting.user.shown_name}: {reason}"[:500]
        advance(version, PolicyVersion.OPEN, state=PolicyVersion.REJECTED, note=note)
        _audit(acting, "reject_policy", version, reason)


def go_live(acting: ActingUser, version: PolicyVersion, reason: str) -> float:
    """Let an approved version decide; return how many seconds requests were refused.

    Raises StaleError where somebody else lets it go live, or changes it, at the same time.
    """
    now = deciding(acting.service)
    if version.state != PolicyVersion.APPROVED or valid_replay(acting, version) is None:
        raise ApiError(
            409,
            f"{version.name} is not approved against the policy that decides now",
            fix="replay it, and have it approved",
        )
    if version.digest != files_digest(directory_of(acting, version)):
        raise ApiError(
            409, f"the files of {version.name} were changed", fix="save, replay, approve it again"
        )
    before = live_version(acting.service)
    with going_live(version, acting):
        seconds = switch(
            acting, "policy_live", _label(version), reason,
            policy=version.name, digest=version.digest, instead_of=now,
        )  # fmt: skip
    _retire(acting, before, "")
    return seconds


@contextmanager
def going_live(version: Any, acting: ActingUser) -> Iterator[None]:
    """Let an approved version of a policy or a model go live within the block, once.

    Meanwhile nobody changes it. It stays approved where the block fails.
    """
    kind = type(version)
    advance(
        version, [kind.APPROVED], state=kind.GOING_LIVE, live_by=acting.user,
        live_ms=acting.now_ms,
    )  # fmt: skip
    try:
        yield
    except BaseException:
        advance_if_unchanged(
            version, [kind.GOING_LIVE], state=kind.APPROVED, live_by=None, live_ms=None
        )
        raise
    advance_if_unchanged(version, [kind.GOING_LIVE], state=kind.LIVE)


def settle_interrupted(home: Path) -> None:
    """Note what became of the versions that were going live when the service ended."""
    live = live_policy(home)
    for kind, name in (
        (PolicyVersion, live.version if live else ""),
        (ModelVersion, live.model if live else ""),
    ):
        for version in kind.objects.filter(state=kind.GOING_LIVE):
            if version.name == name:
                former = kind.objects.filter(state=kind.LIVE)
                former.update(
                    state=kind.RETIRED, retired_ms=version.live_ms, version=F("version") + 1
                )
                advance_if_unchanged(version, [kind.GOING_LIVE], state=kind.LIVE)
            else:
                advance_if_unchanged(
                    version, [kind.GOING_LIVE], state=kind.APPROVED, live_by=None, live_ms=None
                )


def deciding(service: Service) -> Deciding | None:
    """Return what decides now, for a switch that must not replace anything else."""
    switch = service.switch
    return switch.deciding if isinstance(switch, PolicySwitch) else None


def previous_policy(service: Service) -> str | None:
    """Return the version that a rollback returns to ("": that of `serve`); None: there is none."""
    live = live_policy(service.settings.home)
    if live is None or not live.version or live.policy != service.responder.policy.version:
        return None
    if live.earlier is not None:
        return live.earlier[-1] if live.earlier else None
    # It went live before earlier versions were noted.
    now = live_version(service)
    earlier = PolicyVersion.objects.filter(
        state=PolicyVersion.RETIRED, note="", live_ms__lt=(now.live_ms or 0) if now else 0
    )
    found = earlier.order_by("-live_ms").first()
    return found.name if found else ""


def live_name(service: Service) -> str:
    """Return the name of the version that decides; "": that of `serve`."""
    live = live_policy(service.settings.home)
    same = live is not None and live.policy == service.responder.policy.version
    return live.version if live is not None and same else ""


def version_of(name: str) -> PolicyVersion | None:
    """Return a version by its name; None for an approved calibration, or for that of `serve`."""
    number = re.fullmatch(r"v(\d{1,15})", name)
    found = PolicyVersion.objects.filter(id=int(number[1])).first() if number else None
    return found if isinstance(found, PolicyVersion) else None


def roll_back(acting: ActingUser, reason: str, seen: str) -> tuple[str, float]:
    """Let the version before the live one decide again; return its name, and the seconds it took.

    A calibration's approval is withdrawn, and the service returns to shadow, where it came from.
    Raises ApiError where another version than `seen` decides by now.
    """
    now = deciding(acting.service)
    name, target = live_name(acting.service), previous_policy(acting.service)
    if target is None:
        raise ApiError(404, "there is no earlier version", fix="start a draft instead")
    if name != seen:
        raise ApiError(
            409, f"{name or 'the first policy'} decides by now", fix="look at the versions again"
        )
    calibrated = name.startswith(calibration_schedule.CALIBRATED)
    live, earlier = version_of(name), version_of(target)
    enforce = False if calibrated else None
    seconds = switch(
        acting, "policy_rollback", target or "policy of serve", reason,
        policy=target, digest=earlier.digest if earlier else "", back=True, enforce=enforce,
        instead_of=now,
    )  # fmt: skip
    if calibrated:
        calibration_schedule.withdraw(acting.service.settings.home)
    _retire(acting, live, f"rolled back: {reason}")
    if earlier is not None:
        earlier.state, earlier.retired_ms = PolicyVersion.LIVE, None
        earlier.save(update_fields=["state", "retired_ms"])
    return target, seconds


def _retire(acting: ActingUser, version: PolicyVersion | None, note: str) -> None:
    if version is not None:
        version.state, version.retired_ms = PolicyVersion.RETIRED, acting.now_ms
        version.note, version.version = note[:500], version.version + 1
        version.save(update_fields=["state", "retired_ms", "note", "version"])


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
        raise ApiError(503, "this service cannot switch policies", fix="start it anew")
    with transaction.atomic():
        entry = write_audit_entry(
            acting.now_ms, acting.user.actor, act, what[:128], reason, "asked"
        )
    try:
        seconds: float = async_to_sync(switching)(acting.service, **wanted)
    except ApiError:
        raise
    except WavebreakError as error:
        raise ApiError(503, f"nothing was switched: {error.what}", fix=error.fix or "") from error
    with transaction.atomic():
        mark_done(entry)
    return seconds


def _audit(acting: ActingUser, act: str, version: PolicyVersion, reason: str) -> int:
    return write_audit_entry(acting.now_ms, acting.user.actor, act, _label(version), reason)


def _label(version: PolicyVersion) -> str:
    return f"{version.name} {version.policy}".strip()[:128]


def people_who_may_approve(version: PolicyVersion) -> list[str]:
    """Return who could approve a version, by the names that others see."""
    people = User.objects.filter(is_active=True).exclude(id=version.author_id).order_by("username")
    return [person.shown_name for person in people if person.may("approve_policy")]
