"""Versions of the local policy: their upload, check and differences.

The files of a version lie in a directory that their digest names, and never change: a correction is
another version. `HOME/policies/live` says which one decides (`pipeline.live_policy`). The steps of
a version are in `service`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import unified_diff
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
from wavebreak_server.errors import ApiError, DomainError
from wavebreak_server.pipeline.decide import load_decide_policy, load_quota_config
from wavebreak_server.pipeline.live_policy import (
    digest_of,
    files_digest,
    live_policy,
    policies_directory,
    policy_files,
    store_files,
    version_directory,
    write_files,
)
from wavebreak_server.pipeline.service import Service
from wavebreak_server.slices.users.acting_user import ActingUser
from wavebreak_server.slices.users.models import User
from wavebreak_server.slices.versions import policy_checks
from wavebreak_server.slices.versions.models import PolicyReplay, PolicyVersion
from wavebreak_server.slices.versions.policy_switch import PolicySwitch
from wavebreak_server.slices.versions.service import (
    Acts,
    Kind,
    Refusal,
    Refusals,
    StaleError,
    audit,
    live_version,
    start_replay,
    version_of,
)
from wavebreak_server.texts import isolated, translate

SHEETS = ("actions.toml", "evidence.toml", "service.toml", "quota.toml")
"""Files that a version may change, beside those of rules."""
MAX_TEXT, MAX_ALL, MAX_FILES = 200_000, 1_000_000, 40
"""Characters of a file, and of all files of a version; files."""
MAX_WHAT = 500
_FILE = re.compile(r"rules/[a-z][a-z0-9_]{0,40}\.toml")


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
            msgid("the files of {name} were changed"), msgid("upload, replay and approve them anew")
        ),
        replay_runs=Refusal(
            msgid("a replay of {name} is running"), msgid("wait until it has ended")
        ),
        nothing_earlier=Refusal(
            msgid("there is no earlier version"), msgid("upload a version instead")
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
        if seen != version.digest:
            raise StaleError
        if not self.has_its_files(acting, version):
            raise self.refusals.changed_files.error(409, version.name)

    def has_its_files(self, acting: ActingUser, version: PolicyVersion) -> bool:
        """Return whether the files are those of the version's digest."""
        return bool(version.digest == files_digest(directory_of(acting, version)))

    def replay_command(self, acting: ActingUser, replay: PolicyReplay, out: Path) -> list[str]:
        """Return `rules replay` with the version as the other policy."""
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


def is_version_file(name: str) -> bool:
    """Return whether a version may hold a file: rules, and four sheets.

    >>> is_version_file("rules/own.toml"), is_version_file("console.toml")
    (True, False)
    """
    return name in SHEETS or _FILE.fullmatch(name) is not None


def version_files(directory: Path | None) -> dict[str, str]:
    """Return the files of a policy that a version may hold, by name."""
    files = policy_files(directory) if directory else {}
    return {name: text for name, text in files.items() if is_version_file(name)}


def path_of(file_name: str) -> str:
    """Return the place in a policy of a file that was uploaded without its directory.

    >>> path_of("own.toml"), path_of("actions.toml")
    ('rules/own.toml', 'actions.toml')
    """
    return file_name if file_name in SHEETS else f"rules/{file_name}"


# Upload


class Upload(NamedTuple):
    """Checked files of a new version, and the version of the policy that they are."""

    files: dict[str, str]
    policy: str


def checked_upload(home: Path, base: Path | None, uploaded: Mapping[str, str]) -> Upload:
    """Check the files of a new version as `wavebreak rules check` does.

    The version has the uploaded files, and of the policy in `base` those that no version may hold.
    Files that are as shipped are left out. The rules are checked in a process with limits
    (`policy_checks`), so this is for no transaction.

    Args:
        home: The service's directory.
        base: The policy that decides (None: the shipped one).
        uploaded: Texts by their place in the policy.

    Raises:
        ApiError: The files are too large, or do not load (422); the fix names the file and rule.
    """
    for name in uploaded:
        if not is_version_file(name):
            raise ApiError(
                422,
                translate("{name} is no file of a version", name=name),
                fix=translate(
                    "upload rules/NAME.toml, in a-z, 0-9 and _, and {sheets}",
                    sheets=", ".join(SHEETS),
                ),
            )
    texts = {name: text.replace("\r\n", "\n").rstrip() + "\n" for name, text in uploaded.items()}
    _check_size(texts)
    other = policy_files(base) if base else {}
    files = {name: text for name, text in other.items() if not is_version_file(name)}
    files |= {name: text for name, text in texts.items() if text != effective_text(None, name)}
    policies = policies_directory(home)
    policies.mkdir(mode=0o700, exist_ok=True)
    with TemporaryDirectory(prefix="checked.", dir=policies) as tried:
        directory = Path(tried)
        write_files(directory, files)
        checked = policy_checks.check_rules(directory)
        try:
            if not checked.version:
                raise PolicyError(checked.what, fix=checked.fix)
            load_decide_policy(directory)
            load_quota_config(directory)
        except PolicyError as error:
            what = error.what if len(error.what) <= MAX_WHAT else error.what[: MAX_WHAT - 1] + "…"
            raise ApiError(422, what, fix=error.fix or "") from None
    return Upload(files, checked.version)


def _check_size(texts: Mapping[str, str]) -> None:
    if len(texts) > MAX_FILES:
        raise ApiError(
            422,
            translate("there are {count} files", count=len(texts)),
            fix=translate("keep at most {count}", count=MAX_FILES),
        )
    for name, text in texts.items():
        if len(text) > MAX_TEXT:
            raise ApiError(
                422,
                translate(
                    "{name} exceeds {count} characters", name=name, count=format(MAX_TEXT, ",")
                ),
                fix=translate("make it two files"),
            )
    if sum(map(len, texts.values())) > MAX_ALL:
        raise ApiError(
            422,
            translate("the files exceed {count} characters", count=format(MAX_ALL, ",")),
            fix=translate("shorten them"),
        )


def create_version(
    home: Path, upload: Upload, user: User, reason: str, now_ms: int
) -> PolicyVersion:
    """Store a checked upload as a version, by a user whose permission was checked."""
    live = live_policy(home)
    digest = digest_of(upload.files)
    with transaction.atomic():
        version: PolicyVersion = PolicyVersion.objects.create(
            author=user,
            parent=version_of(POLICY, live.version) if live else None,
            reason=reason,
            created_ms=now_ms,
            changed_ms=now_ms,
            digest=digest,
            state=PolicyVersion.CHECKED,
            policy=upload.policy,
        )
        store_files(home, version.name, upload.files)
        audit(POLICY, version, "create_policy", reason, user, now_ms)
    return version


def create_by_command(
    home: Path, upload: Upload, by: str, reason: str, now_ms: int
) -> PolicyVersion:
    """Store a checked upload as a version; raises ApiError (403) for one who may not."""
    user = User.objects.filter(username=by).first()
    if user is None or not user.may("edit_policy"):
        raise DomainError("not-a-policy-owner", by=by)
    return create_version(home, upload, user, reason, now_ms)


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


def changed_files(acting: ActingUser, version: PolicyVersion) -> list[tuple[str, str]]:
    """Return the files that differ from the live policy: names, and their unified differences."""
    live, own = directory_that_decides(acting.service), directory_of(acting, version)
    names = {name: None for base in (live, own) if base for name in policy_files(base)}
    texts = ((name, effective_text(live, name), effective_text(own, name)) for name in names)
    return [(name, _difference(old, new)) for name, old, new in sorted(texts) if old != new]


def _difference(old: str, new: str) -> str:
    lines = unified_diff(old.splitlines(), new.splitlines(), lineterm="")
    return "\n".join(list(lines)[2:])


def own_files(acting: ActingUser, version: PolicyVersion) -> dict[str, str]:
    """Return the texts of a version's own files, by name."""
    return policy_files(directory_of(acting, version))


def open_versions_of(acting: ActingUser, count: int) -> list[PolicyVersion]:
    """Return the newest versions of this person that may still go live."""
    versions = PolicyVersion.objects.filter(state__in=PolicyVersion.OPEN, author=acting.user)
    return list(versions.order_by("-id")[:count])


def start_policy_replay(acting: ActingUser, version: PolicyVersion) -> PolicyReplay:
    """Replay the log under an open version; raises ApiError (409) for another one."""
    if not version.is_open or not version.policy:
        raise ApiError(
            409,
            translate("{name} cannot be replayed", name=version.name),
            fix=translate("upload a version that loads"),
        )
    replay: PolicyReplay = start_replay(POLICY, acting, version)
    return replay
