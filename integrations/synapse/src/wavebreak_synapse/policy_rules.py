"""Entries of Matrix policy rooms, as pure functions: what they name, and whom they meet.

A `reason` is a text of somebody's, and is not looked at.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from wavebreak_synapse.mapping import Event, domain_of, opaque_id

USER_RULES = ("m.policy.rule.user", "m.room.rule.user", "org.matrix.mjolnir.rule.user")
SERVER_RULES = ("m.policy.rule.server", "m.room.rule.server", "org.matrix.mjolnir.rule.server")
REFUSING = frozenset(
    {"m.ban", "org.matrix.mjolnir.ban", "m.takedown", "org.matrix.msc4204.takedown"}
)
ALLOWING = frozenset({"m.allow", "org.matrix.mjolnir.allow"})
HASHES = ("hashes", "org.matrix.msc4205.hashes")
LONGEST = 255
MOST_STARS = 8
"""More of them take long to match, and no list needs them."""

Subject = Literal["account", "origin"]


@dataclass(frozen=True)
class Rule:
    """An entry of a list.

    Attributes:
        subject: Whether it names an account or its server.
        entry: SHA-256 of what it names, in hex.
        advice: What the list says to do.
        ts: When the list said it, in milliseconds.
        entity: What it names, which may be a glob; None where only the hash is given.
    """

    subject: Subject
    entry: str
    advice: Literal["observe", "refuse"]
    ts: int
    entity: str | None = None


class Hit(NamedTuple):
    """That a list names an account that acted here, or its server.

    Attributes:
        list: The list's name in the configuration.
        entry: SHA-256 of its entry in hex.
        name: The account's id, or the server's domain, as other events name it.
        subject: Which of both it is.
        ts: When the list said it, in milliseconds.
        advice: What the list says to do.
    """

    list: str
    entry: str
    name: str
    subject: Subject
    ts: int
    advice: str

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is told by, and taken back by."""
        return self.list, self.entry, self.name


def sha256_of(text: str) -> str:
    """Return the hash of an id in hex.

    >>> base64.b64encode(bytes.fromhex(sha256_of("@yarrgh:example.com"))).decode()
    'VPqwbUV7mMMkOVto3kPwsNXXiALMs7VCKWh3OeqqjGs='
    """
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def parse_rule(kind: str, content: Mapping[str, Any], ts: int) -> Rule | None:
    """Return an entry of a policy room; None for one that is withdrawn, allows or names no one.

    >>> parse_rule("m.policy.rule.user", {"entity": "@a:b", "recommendation": "m.ban"}, 5).entity
    '@a:b'
    >>> parse_rule("m.policy.rule.user", {}, 5)
    """
    recommendation = content.get("recommendation")
    if kind not in USER_RULES + SERVER_RULES or not isinstance(recommendation, str):
        return None
    if recommendation in ALLOWING:
        return None
    subject: Subject = "account" if kind in USER_RULES else "origin"
    advice: Literal["observe", "refuse"] = "refuse" if recommendation in REFUSING else "observe"
    entity = content.get("entity")
    if isinstance(entity, str) and 0 < len(entity) <= LONGEST:
        return Rule(subject, sha256_of(entity), advice, ts, entity)
    digest = next(filter(None, (_digest(content.get(name)) for name in HASHES)), None)
    if digest is None or subject != "account":
        return None
    return Rule(subject, digest, advice, ts)


def _digest(hashes: Any) -> str | None:
    encoded = hashes.get("sha256") if isinstance(hashes, Mapping) else None
    if not isinstance(encoded, str):
        return None
    try:
        raw = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except binascii.Error:
        return None
    return raw.hex() if len(raw) == hashlib.sha256().digest_size else None


def is_glob(entity: str) -> bool:
    """Return whether an entity stands for more than one."""
    return "*" in entity or "?" in entity


def glob_regex(glob: str) -> re.Pattern[str]:
    """Return what a glob matches: `*` any characters, `?` one.

    >>> bool(glob_regex("@spam*:b.test").fullmatch("@spam7:b.test"))
    True
    """
    parts = re.split(r"(\*+|\?)", glob)
    signs = {"*": ".*", "?": "."}
    return re.compile("".join(signs.get(part[:1]) or re.escape(part) for part in parts), re.DOTALL)


def meets_server(rule: Rule, server_name: str) -> bool:
    """Return whether an entry names a whole server, or accounts of it that are not named each.

    >>> rules = [Rule("account", "", "refuse", 0, glob) for glob in ("@*:hs.test", "@x*", "@x*:b")]
    >>> [meets_server(rule, "hs.test") for rule in rules]
    [True, True, False]
    """
    if rule.entity is None:
        return False
    names = {server_name.lower(), domain_of(f":{server_name}")}
    if rule.subject == "origin":
        return any(map(glob_regex(rule.entity.lower()).fullmatch, names))
    if not is_glob(rule.entity):
        return False
    _, colon, server = rule.entity.partition(":")
    # Without a colon a star stands for one.
    return not colon or any(map(glob_regex(server.lower()).fullmatch, names))


class RuleSet:
    """The entries of one list that are taken.

    Args:
        name: The list's name.
        rules: All of its entries.
        server_name: This server.
        own: Hashes of the accounts that this server has published itself.
    """

    def __init__(
        self, name: str, rules: Iterable[Rule], server_name: str, own: Iterable[str] = ()
    ) -> None:
        self.name = name
        self.refused = 0
        """Entries that are not taken."""
        self._exact: dict[tuple[Subject, str], list[Rule]] = defaultdict(list)
        self._globs: list[tuple[re.Pattern[str], Rule]] = []
        self.size = 0
        """How many entries it has."""
        published = frozenset(own)
        for rule in rules:
            self.size += 1
            if rule.entry in published or meets_server(rule, server_name):
                self.refused += 1
            elif rule.entity is None or not is_glob(rule.entity):
                entry = rule.entry
                if rule.subject == "origin" and rule.entity is not None:
                    entry = sha256_of(rule.entity.lower())
                self._exact[rule.subject, entry].append(rule)
            elif rule.entity.count("*") > MOST_STARS:
                self.refused += 1
            else:
                self._globs.append((glob_regex(rule.entity), rule))

    def hits(self, account: str) -> Iterator[Hit]:
        """Yield the entries that name an account, or its server."""
        server = account.partition(":")[2].lower()
        domain = domain_of(account)
        found = [*self._exact.get(("account", sha256_of(account)), ())]
        for name in {server, domain}:
            found += self._exact.get(("origin", sha256_of(name)), ())
        for regex, rule in self._globs:
            names = (account,) if rule.subject == "account" else (server, domain)
            if any(map(regex.fullmatch, names)):
                found.append(rule)
        for rule in found:
            name = domain if rule.subject == "origin" else opaque_id(account)
            yield Hit(self.name, rule.entry, name, rule.subject, rule.ts, rule.advice)


def listed_event(hit: Hit, now_ms: int, day: str = "") -> Event:
    """Return a hit as it is told: with the same id however often, but another one each day."""
    return _event("account.listed", hit, day) | {"ts": now_ms, "advice": hit.advice}


def unlisted_event(hit: Hit, now_ms: int) -> Event:
    """Return that an entry of a list names an account or a server no more."""
    return _event("account.unlisted", hit) | {"ts": now_ms}


def _event(kind: str, hit: Hit, day: str = "") -> Event:
    moment = f"{hit.ts}:{day}" if day else str(hit.ts)
    digest = sha256_of("\n".join((kind, *hit.key, moment)))
    event = {"id": f"list:{digest[:40]}", "type": kind, hit.subject: hit.name}
    return event | {"list": hit.list, "entry": hit.entry}


def published_rule(digest: str) -> tuple[str, dict[str, Any]]:
    """Return state key and content by which an account is published: its hash, and no reason."""
    encoded = base64.b64encode(bytes.fromhex(digest)).decode()
    key = base64.b64encode(bytes.fromhex(sha256_of(f"{encoded}m.ban"))).decode()
    hashes: dict[str, Any] = {name: {"sha256": encoded} for name in HASHES}
    return key, hashes | {"recommendation": "m.ban", "reason": ""}
