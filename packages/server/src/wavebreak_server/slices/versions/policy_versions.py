"""Versions of the local policy: their files, checks, drafts, and what they change.

The files of a version lie in a directory that their digest names; `HOME/policies/live` says which
one decides (`pipeline.live_policy`). A change of its files is another directory and sets a version
back, so that what goes live is what was replayed and approved. The steps of a version are in
`service`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import msgspec
from django.db import transaction

from wavebreak import config
from wavebreak.errors import PolicyError
from wavebreak.languages import msgid
from wavebreak.rules import Policy, Rule, load_policy
from wavebreak.rules.conditions import condition_lines
from wavebreak_server.errors import ApiError
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
from wavebreak_server.slices.users.acting_user import ActingUser
from wavebreak_server.slices.versions import policy_checks
from wavebreak_server.slices.versions.models import PolicyReplay, PolicyVersion
from wavebreak_server.slices.versions.policy_switch import PolicySwitch
from wavebreak_server.slices.versions.service import (
    Acts,
    Kind,
    Refusal,
    Refusals,
    StaleError,
    advance_if_unchanged,
    audit,
    live_version,
    start_replay,
)
from wavebreak_server.texts import isolated, translate

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


class PolicyKind(Kind):
    """Versions of the policy, in their lifecycle."""

    versions, replays = PolicyVersion, PolicyReplay
    permission, content, noted = "approve_policy", "policy", "version"
    place = staticmethod(policies_directory)
    replayed = (PolicyVersion.CHECKED, PolicyVersion.REPLAYED)
    acts = Acts("approve_policy", "reject_policy", "policy_live", "policy_rollback")
    refusals = Refusals(
        unknown=Refusal(msgid("there is no such version"), msgid("see the list of versions")),
        unknown_replay=Refusal(msgid("there is no such replay"), msgid("see the list of versions")),
        author=Refusal(
            msgid("you wrote this version"),
            msgid("ask a lead or another policy owner to approve it"),
        ),
        not_replayed=Refusal(
            msgid("{name} has no replay against the policy that decides now"),
            msgid("replay it first"),
        ),
        not_approved=Refusal(
            msgid("{name} is not approved against the policy that decides now"),
            msgid("replay it, and have it approved"),
        ),
        changed_files=Refusal(
            msgid("the files of {name} were changed"), msgid("save, replay, approve it again")
        ),
        replay_runs=Refusal(
            msgid("a replay of {name} is running"), msgid("wait until it has ended")
        ),
        nothing_earlier=Refusal(
            msgid("there is no earlier version"), msgid("start a draft instead")
        ),
        other_live=Refusal(msgid("{name} decides by now"), msgid("look at the versions again")),
    )

    def live_name(self, service: Service) -> str:
        """Return the name of the version that decides; "": that of `serve`."""
        live = live_policy(service.settings.home)
        same = live is not None and live.policy == service.responder.policy.version
        return live.version if live is not None and same else ""

    def previous_name(self, service: Service) -> str | None:
        """Return the version that a rollback returns to; also of services of 0.1 and 0.2."""
        live = live_policy(service.settings.home)
        if live is None or not live.version or live.policy != service.responder.policy.version:
            return None
        if live.earlier is not None:
            return live.earlier[-1] if live.earlier else None
        # It went live before earlier versions were noted.
        now = live_version(self, service)
        earlier = PolicyVersion.objects.filter(
            state=PolicyVersion.RETIRED, note="", live_ms__lt=(now.live_ms or 0) if now else 0
        )
        previous = earlier.order_by("-live_ms").first()
        return previous.name if previous else ""

    def compared_with(self, acting: ActingUser, version: PolicyVersion) -> dict[str, str]:
        """Return the digest of a version's files, and the policy that decides."""
        return {"digest": version.digest, "live": acting.service.responder.policy.version}

    def check_seen(self, acting: ActingUser, version: PolicyVersion, seen: str) -> None:
        """Raise ApiError (409) where the files are not those of a form."""
        _files_seen(version, directory_of(acting, version), seen)

    def has_its_files(self, acting: ActingUser, version: PolicyVersion) -> bool:
        """Return whether the files are those of the version's digest."""
        return bool(version.digest == files_digest(directory_of(acting, version)))

    def replay_command(self, acting: ActingUser, replay: PolicyReplay, out: Path) -> list[str]:
        """Return `rules replay` with the version as the draft."""
        live = directory_that_decides(acting.service)
        return [
            "rules", "replay", str(acting.service.settings.home),
            "--policy", str(directory_of(acting, replay.of)),
            *(["--live", str(live)] if live else []),
        ]  # fmt: skip

    def wanted(self, name: str, version: PolicyVersion | None) -> dict[str, Any]:
        """Return the policy that a switch is asked for, with the digest that was approved."""
        return {"policy": name, "digest": version.digest if version else ""}


POLICY = PolicyKind()


# Where versions lie, and which one decides


def directory_of(acting: ActingUser, version: PolicyVersion) -> Path:
    """Return the directory of a version."""
    return version_directory(acting.service.settings.home, version.name, version.digest)


def live_policy_of(acting: ActingUser) -> Policy:
    """Return the policy that decides."""
    live: Policy = acting.service.responder.policy
    return live


def live_since(service: Service) -> int | None:
    """Return when the policy that decides went live in the console (ms)."""
    live = live_policy(service.settings.home)
    same = live is not None and live.policy == service.responder.policy.version
    return live.at_ms if live is not None and same else None


def directory_that_decides(service: Service) -> Path | None:
    """Return the directory of the policy that a service decides by (None: the shipped one)."""
    live = live_policy(service.settings.home)
    if live is not None and POLICY.live_name(service):
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
    checked = policy_checks.check_rules(directory)
    if not checked.version:
        return "", located(directory, checked.what, checked.fix)
    try:
        load_decide_policy(directory)
        load_quota_config(directory)
    except PolicyError as error:
        return "", located(directory, error.what, error.fix or "")
    return checked.version, None


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
    >>> text = '[[rule]]\nid = "a_rule"\nwhen = [\n  "score > 1",\n  "age => 2",\n]\n' \
    ...     'fires_on = [\n  { score = 2 },\n  { score = 1 },\n]\n'
    >>> line_of(text, "own.toml, a_rule, when, `age => 2`, column 5: not an expression")
    5
    >>> line_of(text, "own.toml, a_rule, fires_on, example 2: the rule stays quiet on score = 1")
    9
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
        rule = what[named.end() :]
        for word in re.findall(r"[a-z_][a-z0-9_]*", rule):
            if word in places:
                return _line_within(lines, places[word], rule) + 1
    return start + 1


def _line_within(lines: list[str], field: int, what: str) -> int:
    """Return the line of a field's list that an error speaks of; the field's own where it is none.

    An error quotes the condition, or counts the examples.
    """
    end = next((n for n in range(field, len(lines)) if lines[n].startswith("]")), field)
    if quoted := re.search(r"`([^`]+)`", what):
        return next((n for n in range(field, end) if quoted[1] in lines[n]), field)
    if example := re.search(r"example (\d+)", what):
        rows = [n for n in range(field + 1, end) if lines[n].lstrip().startswith("{")]
        return rows[int(example[1]) - 1] if int(example[1]) <= len(rows) else field
    return field


# What a version changes


class RuleChange(NamedTuple):
    """What becomes of a rule: new, removed or changed, and how, in words."""

    rule: str
    kind: str
    words: list[str]


_NAMES = {
    "hold": msgid("for"),
    "review_by": msgid("to be reviewed by"),
    "false_actions": msgid("will wrongly meet"),
}


def changed_rules(before: Policy, after: Policy) -> list[RuleChange]:
    """Return the rules that two policies do not share as they are, and tables that differ."""
    changes = []
    for rule in after.rules:
        old = before.rule(rule.id)
        if old is None:
            label = translate("label {label}", label=translate(rule.label or ""))
            effect = translate(rule.outcome) if rule.outcome else label
            said = f"{effect}, {translate(rule.mode)}: {isolated(translate(rule.about))}"
            changes.append(RuleChange(rule.id, "new", [said]))
        elif words := list(_differences(old, rule)):
            changes.append(RuleChange(rule.id, "changed", words))
    kept = {name for rule in after.rules for name in (rule.id, *rule.aliases)}
    changes += [
        RuleChange(rule.id, "removed", [translate(rule.about)])
        for rule in before.rules
        if rule.id not in kept
    ]
    for table in ("enforcement", "score", "feedback", "evidence", "actions"):
        pair = [msgspec.to_builtins(getattr(policy, table)) for policy in (before, after)]
        words = [
            isolated(f"{name}: {pair[0].get(name, '–')} → {pair[1].get(name, '–')}")
            for name in dict.fromkeys((*pair[0], *pair[1]))
            if pair[0].get(name) != pair[1].get(name)
        ]
        if words:
            changes.append(RuleChange(f"[{table}]", "changed", words))
    return changes


def _differences(old: Rule, new: Rule) -> Iterator[str]:
    if old.expression != new.expression:
        before, after = ([x.strip(" -`") for x in condition_lines(r.when)] for r in (old, new))
        dropped, added = msgid("no longer: {line}"), msgid("now: {line}")
        yield from (translate(dropped, line=line) for line in before if line not in after)
        yield from (translate(added, line=line) for line in after if line not in before)
        if set(before) == set(after):
            yield translate("the conditions are combined otherwise")
    for name in old.__struct_fields__:
        values = getattr(old, name), getattr(new, name)
        if name in ("when", "id", "aliases") or values[0] == values[1]:
            continue
        if name in ("fires_on", "stays_quiet_on"):
            yield translate(
                "{name}: {old} → {new} examples, not all the same",
                name=name,
                old=len(values[0]),
                new=len(values[1]),
            )
        else:
            shown = translate(_NAMES[name]) if name in _NAMES else name
            yield isolated(f"{shown}: {_word(values[0])} → {_word(values[1])}")


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
    live, own = directory_that_decides(acting.service), directory_of(acting, version)
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
    source = directory_of(acting, start) if start else directory_that_decides(acting.service)
    with transaction.atomic():
        draft: PolicyVersion = PolicyVersion.objects.create(
            author=acting.user,
            parent=start or live_version(POLICY, acting.service),
            reason=reason,
            created_ms=acting.now_ms,
            changed_ms=acting.now_ms,
        )
        audit(POLICY, draft, "create_policy", reason, acting.user, acting.now_ms)
    _store(acting, draft, policy_files(source) if source else {})
    return draft


def open_drafts(acting: ActingUser, most: int) -> list[PolicyVersion]:
    """Return the newest versions of this person that may still go live."""
    drafts = PolicyVersion.objects.filter(state__in=PolicyVersion.OPEN, author=acting.user)
    return list(drafts.order_by("-id")[:most])


def _store(acting: ActingUser, version: PolicyVersion, files: Mapping[str, str]) -> Problem | None:
    """Check a version's new files, and let the version have them; return the first problem.

    Raises StaleError where the version is not as it was read, or is no longer open.
    """
    if too_large := _too_large(files):
        raise ApiError(422, too_large.what, fix=too_large.fix)
    home, former = acting.service.settings.home, version.digest
    directory, digest = store_files(home, version.name, files), digest_of(files)
    policy, problem = check(directory) if files else ("", None)
    is_changed = advance_if_unchanged(
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
    _remove_unused(home, version, former if is_changed else digest)
    if not is_changed:
        raise StaleError
    return problem


def _remove_unused(home: Path, version: PolicyVersion, digest: str) -> None:
    """Remove files that neither a version nor a replay of it refers to any more."""
    used = PolicyVersion.objects.filter(id=version.id, digest=digest)
    if digest and not used.exists() and not version.replays.filter(digest=digest).exists():
        remove_files(home, version.name, digest)


def own_draft(acting: ActingUser, version: PolicyVersion) -> PolicyVersion:
    """Return a version that this person may change; raises ApiError (403, 409)."""
    if not version.is_open:
        raise ApiError(
            409,
            translate("{name} is {state}", name=version.name, state=version.state),
            fix=translate("start a draft from it, or a new one"),
        )
    if version.author_id != acting.user.id:
        raise ApiError(
            403,
            translate(
                "{name} is a draft of {shown_name}",
                name=version.name,
                shown_name=version.author.shown_name,
            ),
            fix=translate(
                "start a draft of your own from it: who approves must not have written it"
            ),
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
            422,
            translate("there is no such file"),
            fix=translate("name it rules/NAME.toml, in a-z, 0-9 and _"),
        )
    if len(text) > MAX_TEXT:
        raise ApiError(
            422,
            translate("the text exceeds {max_text} characters", max_text=format(MAX_TEXT, ",")),
            fix=translate("make it two files"),
        )
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
            409,
            translate("the files of {name} were changed outside of the console", name=version.name),
            fix=translate("restore them from a backup, or start another draft"),
        )
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
        return Problem(translate("there is no such file"), translate("name it rules/NAME.toml"))
    if len(text) > MAX_TEXT:
        return Problem(
            translate("the text exceeds {max_text} characters", max_text=format(MAX_TEXT, ",")),
            translate("make it two files"),
        )
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


def start_policy_replay(acting: ActingUser, version: PolicyVersion) -> PolicyReplay:
    """Replay the log under a version that loads; raises ApiError (409) for another one."""
    if not version.is_open or not version.policy:
        raise ApiError(
            409,
            translate("{name} cannot be replayed", name=version.name),
            fix=translate("correct what its page says first"),
        )
    replay: PolicyReplay = start_replay(POLICY, acting, version)
    return replay
