"""The module's configuration in `homeserver.yaml`: strict, with the fix in each error."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import urlsplit

DEFAULT_URL = "http://127.0.0.1:8480"
"""Where `wavebreak serve` listens on the same machine."""
LANGUAGES = ("en", "he")
OUTCOMES = ("limit", "restrict", "suspend", "ban", "lifted")
_LIST_NAME = re.compile(r"[a-z0-9._-]{1,64}")
_POLICY_KEY = re.compile(r"ed25519 policy_server [A-Za-z0-9+/]{43}")


class SettingError(Exception):
    """A setting of the module is missing or invalid; the text names the key and the fix."""


@dataclass(frozen=True)
class Exempt:
    """Accounts that are neither reported nor refused.

    Attributes:
        users: Full Matrix ids.
        appservices: Accounts of application services: bridges and bots.
        admins: Server administrators.
        guests: Guests.
    """

    users: frozenset[str] = frozenset()
    appservices: bool = True
    admins: bool = True
    guests: bool = True


@dataclass(frozen=True)
class Federation:
    """What is done about accounts of other servers.

    Attributes:
        invite: Refuse their invitations as their enforcement state says.
        soft_fail: Soft-fail messages of those that are suspended or banned.
        drop: Drop events of those that are banned before they are stored. Not final: after a lift,
            a dropped message can come back when the gap is filled.
    """

    invite: bool = True
    soft_fail: bool = True
    drop: bool = False


@dataclass(frozen=True)
class Notices:
    """What account holders are sent as server notices.

    Attributes:
        enabled: Whether they are sent; needs `server_notices` in `homeserver.yaml`.
        objection: How to object: a sentence, or an address. Appended to each notice.
        texts: Texts by language and outcome, in place of the built-in ones. `{until}` is the end.
    """

    enabled: bool = True
    objection: str = ""
    texts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class PolicyServer:
    """Makes the homeserver the policy server of rooms (MSC4284); off without a key.

    Attributes:
        key: What `wavebreak-synapse policy-key` wrote: one signing key in Synapse's own format.
    """

    key: str = field(default="", repr=False)


@dataclass(frozen=True)
class PolicyRooms:
    """Policy rooms (lists of others) that are watched, and one to publish in; none by default.

    Attributes:
        key: An API key with the scope list alone. Its file is `key_file`.
        rooms: The id of each room by the name of its list.
        publish_in: The room in which convictions are published, as hashes; empty: none.
        publish_as: The account of this server that publishes them; it is exempt.
    """

    key: str = field(default="", repr=False)
    rooms: Mapping[str, str] = field(default_factory=dict)
    publish_in: str = ""
    publish_as: str = ""


@dataclass(frozen=True)
class Settings:
    """All settings. Each attribute is a key under `config:` of the module.

    Attributes:
        url: Address of the Wavebreak service; by default one on the same machine.
        key: An API key with the scopes ingest, decide and read. Or `key_file`, which holds it.
        mode: `shadow` reports and refuses nothing; `enforce` asks and refuses.
        ask: `new_chats` asks where a chat, a group or an account begins and about those under an
            enforcement; `always` asks about each message; `never` refuses by cached states alone.
        timeout_ms: How long one answer may take before `on_failure` decides.
        on_failure: What happens for want of an answer: `registration` is `open` or `closed`;
            `messaging` is always `open`. A refused key closes nothing.
        exempt: Accounts that are neither reported nor refused.
        contacts: Whether it is reported that the recipient knows the sender.
        remote: Whether acts of other servers' accounts are reported.
        federation: What is done about other servers' accounts.
        receipts: Whether read receipts of direct chats are reported.
        reports: Whether reports of abuse are reported, without their reasons.
        searches: Whether searches of the user directory are reported.
        history_days: How many days of the past are reported at the first start.
        notices: What account holders are sent.
        language: The language of notices where the holder's is unknown.
        policy_server: Whether this homeserver can be the policy server of rooms.
        take_back: What is taken back of an account that is restricted, suspended or banned:
            `invitations` to strangers and knocks without an answer; `messages` too, those to
            strangers who never wrote back; or nothing, `off`.
        lists: Policy rooms that are watched, and one to publish in.
        remote_invitations: What happens to invitations by other servers' accounts to people who do
            not know them: `deliver`, or `drop`, of which neither learns.
    """

    url: str
    key: str = field(repr=False)
    mode: Literal["shadow", "enforce"] = "shadow"
    ask: Literal["new_chats", "always", "never"] = "new_chats"
    timeout_ms: int = 250
    on_failure: Mapping[str, Literal["open", "closed"]] = field(
        default_factory=lambda: {"registration": "closed", "messaging": "open"}
    )
    exempt: Exempt = Exempt()
    contacts: bool = True
    remote: bool = True
    federation: Federation = Federation()
    receipts: bool = True
    reports: bool = True
    searches: bool = True
    history_days: int = 30
    notices: Notices = Notices()
    language: str = "en"
    policy_server: PolicyServer = PolicyServer()
    take_back: Literal["invitations", "messages", "off"] = "invitations"
    lists: PolicyRooms = PolicyRooms()
    remote_invitations: Literal["deliver", "drop"] = "deliver"

    @property
    def enforces(self) -> bool:
        """Whether acts are refused."""
        return self.mode == "enforce"


def parse_settings(config: Any) -> Settings:
    """Return the settings of the module's `config:`.

    Args:
        config: What `homeserver.yaml` has there.

    Raises:
        SettingError: Where a key is unknown, missing or has an invalid value.

    >>> parse_settings({"key": "wb_1", "mode": "loud"})
    Traceback (most recent call last):
    wavebreak_synapse.config.SettingError: mode: is none of shadow, enforce. Fix: set one of them
    """
    given = _mapping("config", config)
    _known("config", given, [*Settings.__dataclass_fields__, "key_file"])
    values: dict[str, Any] = {"url": _url(given.get("url", DEFAULT_URL)), "key": _key(given)}
    for name, read in _READERS.items():
        if name in given:
            values[name] = read(name, given[name])
    return Settings(**values)


def _fail(name: str, problem: str, fix: str) -> SettingError:
    return SettingError(f"{name}: {problem}. Fix: {fix}")


def _mapping(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _fail(name, "is no mapping", "write its keys below it, indented")
    return {str(key): each for key, each in value.items()}


def _known(name: str, given: Mapping[str, Any], names: list[str]) -> None:
    for key in given:
        if key not in names:
            raise _fail(f"{name}.{key}", "no such key", f"use {', '.join(sorted(names))}")


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _fail(name, "is neither true nor false", "set true or false")
    return value


def _one_of(*names: str) -> Callable[[str, Any], str]:
    def read(name: str, value: Any) -> str:
        if value not in names:
            raise _fail(name, f"is none of {', '.join(names)}", "set one of them")
        return str(value)

    return read


def _take_back(name: str, value: Any) -> str:
    # YAML reads a bare `off` as false.
    return _one_of("invitations", "messages", "off")(name, "off" if value is False else value)


def _whole(low: int, high: int) -> Callable[[str, Any], int]:
    def read(name: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise _fail(name, f"is no whole number from {low} to {high}", "set one")
        return value

    return read


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _fail(name, "is no text", "put it in quotes")
    return value


def _url(value: Any) -> str:
    if not isinstance(value, str):
        raise _fail("url", "is no text", f"set the service's address, {DEFAULT_URL}")
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _fail("url", "is no http or https address", f"set one like {DEFAULT_URL}")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise _fail("url", "has a user, a query or a fragment", "leave these out; set key_file")
    return value.rstrip("/")


def _key(given: Mapping[str, Any]) -> str:
    if ("key" in given) == ("key_file" in given):
        raise _fail("key_file", "exactly one of key and key_file is needed", "set key_file")
    if "key" in given:
        key = _text("key", given["key"]).strip()
    else:
        key = _secret_of("key_file", given["key_file"])
    if not key or any(sign.isspace() for sign in key):
        raise _fail("key_file", "holds no API key", "write the key of `wavebreak key create` to it")
    return key


def _secret_of(name: str, value: Any) -> str:
    """Return the content of a file that only its owner may read."""
    path = Path(_text(name, value))
    try:
        mode = path.stat().st_mode
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no text"
        raise _fail(name, f"cannot be read ({reason})", "let Synapse's user read it") from error
    if os.name == "posix" and mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise _fail(name, "others may read or change it", "chmod 600 it")
    return secret


def _policy_server(name: str, value: Any) -> PolicyServer:
    given = _mapping(name, value)
    _known(name, given, ["key_file"])
    if "key_file" not in given:
        raise _fail(f"{name}.key_file", "is missing", "make one: wavebreak-synapse policy-key FILE")
    key = _secret_of(f"{name}.key_file", given["key_file"])
    if not _POLICY_KEY.fullmatch(key):
        fix = "make one: wavebreak-synapse policy-key FILE"
        raise _fail(f"{name}.key_file", "holds no policy server's key", fix)
    return PolicyServer(key)


def _room(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value.startswith("!"):
        raise _fail(name, "is no room's id", 'set one like "!abc:example.org", in quotes')
    return value


def _lists(name: str, value: Any) -> PolicyRooms:
    given = _mapping(name, value)
    _known(name, given, ["key_file", "rooms", "publish"])
    if "key_file" not in given:
        fix = "write a key with the scope list to a file, and name it"
        raise _fail(f"{name}.key_file", "is missing", fix)
    rooms = _mapping(f"{name}.rooms", given.get("rooms", {}))
    for each, room in rooms.items():
        if not _LIST_NAME.fullmatch(each):
            fix = "use up to 64 of a to z, 0 to 9, dot, hyphen and underscore"
            raise _fail(f"{name}.rooms.{each}", "is no name of a list", fix)
        _room(f"{name}.rooms.{each}", room)
    publish = _mapping(f"{name}.publish", given.get("publish", {}))
    _known(f"{name}.publish", publish, ["room", "account"])
    if publish and len(publish) < 2:
        raise _fail(f"{name}.publish", "lacks room or account", "set both")
    key = _secret_of(f"{name}.key_file", given["key_file"])
    if not publish:
        return PolicyRooms(key, rooms)
    account = _text(f"{name}.publish.account", publish["account"])
    if not account.startswith("@") or ":" not in account:
        raise _fail(f"{name}.publish.account", "is no Matrix id", 'set one, "@bot:example.org"')
    return PolicyRooms(key, rooms, _room(f"{name}.publish.room", publish["room"]), account)


def _exempt(name: str, value: Any) -> Exempt:
    given = _mapping(name, value)
    _known(name, given, ["users", "appservices", "admins", "guests"])
    users = given.pop("users", [])
    if not isinstance(users, list) or not all(
        isinstance(user, str) and user.startswith("@") and ":" in user for user in users
    ):
        raise _fail(f"{name}.users", "is no list of Matrix ids", 'list them, "@ann:example.org"')
    flags = {key: _flag(f"{name}.{key}", each) for key, each in given.items()}
    return Exempt(users=frozenset(users), **flags)


def _federation(name: str, value: Any) -> Federation:
    given = _mapping(name, value)
    _known(name, given, ["invite", "soft_fail", "drop"])
    return Federation(**{key: _flag(f"{name}.{key}", each) for key, each in given.items()})


def _on_failure(name: str, value: Any) -> dict[str, Literal["open", "closed"]]:
    given = _mapping(name, value)
    _known(name, given, ["registration", "messaging"])
    values = {"registration": ("open", "closed"), "messaging": ("open",)}
    chosen = {key: _one_of(*values[key])(f"{name}.{key}", each) for key, each in given.items()}
    whole = {"registration": "closed", "messaging": "open"} | chosen
    return cast("dict[str, Literal['open', 'closed']]", whole)


def _notices(name: str, value: Any) -> Notices:
    given = _mapping(name, value)
    _known(name, given, ["enabled", "objection", "texts"])
    texts = _mapping(f"{name}.texts", given.get("texts", {}))
    for language, by_outcome in texts.items():
        place = f"{name}.texts.{language}"
        _known(place, _mapping(place, by_outcome), list(OUTCOMES))
        for outcome, text in by_outcome.items():
            _placeholders(f"{place}.{outcome}", _text(f"{place}.{outcome}", text))
    return Notices(
        enabled=_flag(f"{name}.enabled", given.get("enabled", True)),
        objection=_text(f"{name}.objection", given.get("objection", "")),
        texts=texts,
    )


def _placeholders(name: str, text: str) -> None:
    try:
        text.format(until="")
    except (KeyError, IndexError, ValueError) as error:
        raise _fail(name, "has another placeholder than {until}", "double other braces") from error


def _language(name: str, value: Any) -> str:
    return _text(name, value).lower()[:2]


_READERS: dict[str, Callable[[str, Any], Any]] = {
    "mode": _one_of("shadow", "enforce"),
    "ask": _one_of("new_chats", "always", "never"),
    "timeout_ms": _whole(20, 10_000),
    "on_failure": _on_failure,
    "exempt": _exempt,
    "contacts": _flag,
    "remote": _flag,
    "federation": _federation,
    "receipts": _flag,
    "reports": _flag,
    "searches": _flag,
    "history_days": _whole(0, 366),
    "notices": _notices,
    "language": _language,
    "policy_server": _policy_server,
    "take_back": _take_back,
    "lists": _lists,
    "remote_invitations": _one_of("deliver", "drop"),
}
