"""What Synapse asks the module: whether an act may happen.

Only what opens a chat, a group or an account is asked about, and what accounts do that are under
an enforcement; all else is answered from memory. In shadow mode nothing is asked.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import ipaddress
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wavebreak_synapse import tables
from wavebreak_synapse.config import Settings
from wavebreak_synapse.feed import is_exempt, put_ignored, registration_event
from wavebreak_synapse.lru import Cache
from wavebreak_synapse.mapping import (
    Event,
    Pdu,
    Room,
    acting,
    client_of,
    invitation_event,
    is_message,
    message_event,
    opaque_id,
)
from wavebreak_synapse.metrics import Metrics
from wavebreak_synapse.service import Service

log = logging.getLogger("wavebreak_synapse")

CHATS = 100_000
"""How many pairs of sender and room are remembered."""
CHAT_S = 3600.0
MOST_EVENTS = 50
"""Events of one act, at most."""
SILENCED = frozenset({"suspend", "ban"})
ENFORCED = frozenset({"limit", "restrict", "suspend", "ban"})
OPENING = frozenset({"contact.requested", "group.created", "group.member_added"})
RETRY_MS = 2_000
NO_NEW_CHATS = frozenset({"restrict", "suspend", "ban"})


@dataclass(frozen=True)
class Answers:
    """Synapse's own values for the answers of callbacks."""

    not_spam: Any
    forbidden: Any
    allow_registration: Any
    deny_registration: Any


@dataclass(frozen=True)
class Host:
    """What the callbacks need of the homeserver.

    Attributes:
        server_name: Its name.
        now_ms: Its clock.
        run_db: Runs a function in a transaction.
        run_in_thread: Runs a function in a thread of the module's own.
        user_info: Returns a local account's row, or None.
        notices_account: The account that sends server notices.
        delegates_auth: Whether accounts are made by an authentication service (MAS).
    """

    server_name: str
    now_ms: Callable[[], int]
    run_db: Callable[..., Awaitable[Any]]
    run_in_thread: Callable[..., Awaitable[Any]]
    user_info: Callable[[str], Awaitable[Any]]
    notices_account: str | None = None
    delegates_auth: bool = False

    def is_mine(self, account: str) -> bool:
        """Return whether an account is of this server."""
        return account.partition(":")[2] == self.server_name


@dataclass(frozen=True)
class Refusal:
    """That an act is refused, with what its sender is shown."""

    outcome: str
    fields: dict[str, Any]


class Callbacks:
    """The callbacks of one process.

    Args:
        settings: The module's settings.
        host: The homeserver.
        service: The connection to Wavebreak.
        answers: Synapse's values.
        metrics: What is counted.
    """

    def __init__(
        self, settings: Settings, host: Host, service: Service, answers: Answers, metrics: Metrics
    ) -> None:
        self._settings = settings
        self._host = host
        self._service = service
        self._answers = answers
        self._metrics = metrics
        self._exempt: Cache[str, bool] = Cache(50_000, 60.0)
        self._chats: Cache[tuple[str, str], Room] = Cache(CHATS, CHAT_S)
        self._approved: Cache[str, set[str]] = Cache(10_000, 120.0)
        self._searched: Cache[str, bool] = Cache(10_000, 1.0)
        self._hash_key: bytes | None = None

    # Messages: the path on which every message is.

    async def check_event_for_spam(self, event: Any) -> Any:
        """Return whether a message may be sent, or taken from another server."""
        started = time.perf_counter()
        path, answer = "shadow", self._answers.not_spam
        if self._settings.enforces:
            path, answer = await self._check_message(event)
        self._metrics.seconds.labels(path).observe(time.perf_counter() - started)
        return answer

    async def _check_message(self, event: Any) -> tuple[str, Any]:
        """Return how an event was answered, and the answer."""
        not_spam = self._answers.not_spam
        sender, room_id = event.sender, event.room_id
        if not self._host.is_mine(sender):
            silenced = self._settings.federation.soft_fail and self._is_silenced(sender)
            return "memory", self._refused("message", "ban") if silenced else not_spam
        if not is_message(event.type, event.content, event.get("state_key")):
            return "memory", not_spam
        pdu = Pdu(event.event_id, event.type, sender, room_id, 0, event.content)
        path, refusal = await self._judge_message(pdu)
        return path, not_spam if refusal is None else self._forbid("message", refusal)

    async def _judge_message(self, pdu: Pdu) -> tuple[str, Refusal | None]:
        """Return how a message was answered, and why it is refused."""
        sender, room_id = pdu.sender, pdu.room_id
        room = self._chats.get((sender, room_id))
        if room is not None and not self._must_ask(sender, opens_chat=False):
            self._metrics.saved.inc()
            return "memory", None
        if await self._is_exempt(sender):
            return "exempt", None
        opens_chat = room is None
        if room is None:
            room = await self._host.run_db("wavebreak_read_room", tables.read_room, room_id)
        asked = message_event(pdu, room, self._host.server_name)
        if asked is not None:
            refusal = await self._judge(sender, [asked], opens_chat)
            if refusal is not None:
                return "asked", refusal
        self._chats.put((sender, room_id), room)
        return "asked", None

    async def refusal_by_policy(self, pdu: Pdu) -> Refusal | None:
        """Return why this server, as the policy server of a room, refuses an event; None: it signs.

        Accounts of this server were judged when they sent it. Who is suspended or banned can still
        leave.

        Args:
            pdu: The event of a room whose policy server this is; its signature is verified.
        """
        if not self._settings.enforces or self._host.is_mine(pdu.sender):
            return None
        leaves = pdu.type == "m.room.member" and pdu.content.get("membership") == "leave"
        if leaves and pdu.state_key == pdu.sender:
            return None
        refusal = None
        if self._is_silenced(pdu.sender):
            refusal = Refusal(self._outcome(pdu.sender), {})
        elif self._settings.remote and is_message(pdu.type, pdu.content, pdu.state_key):
            _, refusal = await self._judge_message(pdu)
        if refusal is not None:
            self._metrics.refused.labels("policy", refusal.outcome).inc()
        return refusal

    async def should_drop_federated_event(self, event: Any) -> bool:
        """Return whether an event of another server is dropped before it is stored."""
        if not (self._settings.enforces and self._settings.federation.drop):
            return False
        return bool(self._outcome(event.sender) == "ban")

    # What opens a chat or a group.

    async def user_may_create_room(self, user_id: str, room_config: Any) -> Any:
        """Return whether an account may make a room."""
        if await self._is_exempt(user_id):
            return self._answers.not_spam
        people = [each for each in room_config.get("invite") or () if isinstance(each, str)]
        addresses = room_config.get("invite_3pid") or ()
        public = room_config.get("visibility") == "public"
        several = public or len(people) + len(addresses) > 1
        if several or await self._replaces_group(user_id, room_config):
            now = self._host.now_ms()
            await self._host.run_db("wavebreak_note_creation", tables.note_creation, user_id, now)
        invitees = people + [await self._address_id(each) for each in addresses]
        if not self._settings.enforces or not (public or invitees):
            return self._answers.not_spam
        events = self._creation(user_id, invitees, public)
        refusal = await self._judge(user_id, events, opens_chat=True)
        if refusal is not None:
            return self._forbid("room", refusal)
        self._approved.put(user_id, set(invitees))
        return self._answers.not_spam

    async def _replaces_group(self, user_id: str, room_config: Any) -> bool:
        """Return whether a new room is the upgrade of a group that its creator is in.

        Its members are invited one by one: they are no strangers who are approached.
        """
        content = room_config.get("creation_content")
        former = content.get("predecessor") if isinstance(content, Mapping) else None
        room_id = former.get("room_id") if isinstance(former, Mapping) else None
        if not isinstance(room_id, str):
            return False
        run_db = self._host.run_db
        return bool(await run_db("wavebreak_group_of", tables.is_in_group, room_id, user_id))

    def _creation(self, user_id: str, invitees: list[str], public: bool) -> list[Event]:
        name = f"!new.{secrets.token_hex(16)}"
        room = Room(name, (user_id,), group=public or len(invitees) > 1)
        events: list[Event] = []
        if room.is_group:
            created = {"id": _new_id(), "type": "group.created", "group": name}
            events.append(created | acting(user_id, self._host.server_name))
        for invitee in invitees[: MOST_EVENTS - 1]:
            events.append(self._invitation(_new_id(), user_id, invitee, room))
        return events

    async def user_may_invite(self, inviter: str, invitee: str, room_id: str) -> Any:
        """Return whether an account may invite another one."""
        if not self._host.is_mine(inviter) or not self._settings.enforces:
            return self._answers.not_spam
        approved = self._approved.get(inviter)
        if approved and invitee in approved:
            approved.discard(invitee)
            return self._answers.not_spam
        if await self._is_exempt(inviter):
            return self._answers.not_spam
        room = await self._host.run_db("wavebreak_read_room", tables.read_room, room_id)
        event = self._invitation(_new_id(), inviter, invitee, room)
        refusal = await self._judge(inviter, [event], opens_chat=True)
        return self._forbid("invitation", refusal) if refusal else self._answers.not_spam

    async def user_may_send_3pid_invite(
        self, inviter: str, medium: str, address: str, room_id: str
    ) -> Any:
        """Return whether an account may invite an e-mail address or a phone number."""
        invitee = await self._address_id({"medium": medium, "address": address})
        return await self.user_may_invite(inviter, invitee, room_id)

    async def federated_user_may_invite(self, event: Any) -> Any:
        """Return whether an account of another server may invite one of this server."""
        settings = self._settings
        if not (settings.enforces and settings.federation.invite and settings.remote):
            return self._answers.not_spam
        invitee = event.state_key
        if not isinstance(invitee, str):
            return self._answers.not_spam
        asked = self._invitation(event.event_id, event.sender, invitee, Room(event.room_id))
        refusal = await self._judge(event.sender, [asked], opens_chat=True)
        return self._forbid("invitation", refusal) if refusal else self._answers.not_spam

    # Accounts and their sessions.

    async def check_registration_for_spam(
        self,
        email_threepid: Any,
        username: str | None,
        request_info: Collection[tuple[str, str]],
        auth_provider_id: str | None = None,
    ) -> Any:
        """Return whether an account may be made. Neither address nor number is looked at."""
        if not username or not request_info or self._host.delegates_auth:
            # Made by an administrator or an authentication service, which would not understand.
            return self._answers.allow_registration
        account = f"@{username}:{self._host.server_name}"
        event = registration_event(account, self._host.now_ms(), self._host.server_name)
        event |= _connection(list(request_info)[-1])
        await self._keep(_put_pending, event)
        if not self._settings.enforces or self._settings.ask == "never":
            return self._answers.allow_registration
        asked = {name: value for name, value in event.items() if name != "ts"}
        asked["id"] = _new_id()
        verdict = await self._ask([asked])
        if verdict.allowed:
            return self._answers.allow_registration
        self._metrics.refused.labels("registration", verdict.outcome).inc()
        return self._answers.deny_registration

    async def on_user_registration(self, user_id: str) -> None:
        """Report an account that was made."""
        if not await self._is_exempt(user_id):
            event = registration_event(user_id, self._host.now_ms(), self._host.server_name)
            await self._keep(tables.release_event, event)

    async def check_login_for_spam(
        self,
        user_id: str,
        device_id: str | None,
        initial_display_name: str | None,
        request_info: Collection[tuple[str | None, str]],
        auth_provider_id: str | None = None,
    ) -> Any:
        """Return whether an account may log in; only one that adds a device may not."""
        if await self._is_exempt(user_id):
            return self._answers.not_spam
        devices = await self._host.run_db("wavebreak_devices", tables.read_devices, user_id)
        event: Event = {"id": _new_id(), "ts": self._host.now_ms(), "type": "session.started"}
        event |= acting(user_id, self._host.server_name)
        event |= _connection(list(request_info)[-1] if request_info else (None, ""))
        event["linked"] = bool(devices - {device_id})
        if self._settings.enforces and device_id not in devices:
            asked = {name: value for name, value in event.items() if name != "ts"}
            refusal = await self._judge(user_id, [asked], opens_chat=True)
            if refusal is not None:
                return self._forbid("login", refusal)
        await self._keep(tables.put_event, event)
        return self._answers.not_spam

    async def is_user_expired(self, user_id: str) -> bool | None:
        """Return whether an account is banned; None leaves it to others. Called at each request."""
        if not self._settings.enforces or self._outcome(user_id) != "ban":
            return None
        return None if await self._is_exempt(user_id) else True

    async def on_user_deactivation_status_changed(
        self, user_id: str, deactivated: bool, by_admin: bool
    ) -> None:
        """Report an account that was deactivated."""
        if deactivated and not await self._is_exempt(user_id):
            event = {"id": _new_id(), "ts": self._host.now_ms(), "type": "account.deleted"}
            event |= acting(user_id, self._host.server_name)
            await self._keep(tables.put_event, event)

    # What is only reported.

    async def check_username_for_spam(self, user_profile: Any, requester_id: str) -> bool:
        """Report a search of the user directory; called once for each account it found."""
        if self._settings.searches and self._searched.get(requester_id) is None:
            self._searched.put(requester_id, True)
            if not await self._is_exempt(requester_id):
                event = {"id": _new_id(), "ts": self._host.now_ms(), "type": "contact.looked_up"}
                event |= acting(requester_id, self._host.server_name) | {"count": 1}
                await self._keep(tables.put_event, event)
        return False

    async def on_account_data_updated(
        self, user_id: str, room_id: str | None, account_data_type: str, content: Any
    ) -> None:
        """Report whom an account ignores anew, and whom no more."""
        if room_id is not None or account_data_type != "m.ignored_user_list":
            return
        ignored = content.get("ignored_users")
        names = {str(each) for each in ignored} if hasattr(ignored, "keys") else set()
        await self._host.run_db(
            "wavebreak_put_ignored", put_ignored, user_id, names, self._host.now_ms()
        )

    # Decisions.

    def _must_ask(self, account: str, *, opens_chat: bool) -> bool:
        if self._settings.ask == "always":
            return True
        return self._service.client.needs_asking(opaque_id(account), opens_chat)

    def _outcome(self, account: str) -> str:
        return str(self._service.client.state(opaque_id(account)).outcome)

    def _is_silenced(self, account: str) -> bool:
        return self._outcome(account) in SILENCED

    async def _judge(
        self, account: str, events: Sequence[Event], opens_chat: bool
    ) -> Refusal | None:
        if self._settings.ask == "never":
            outcome = self._outcome(account)
            refused = outcome in (NO_NEW_CHATS if opens_chat else SILENCED)
            return Refusal(outcome, {}) if refused else None
        if not self._must_ask(account, opens_chat=opens_chat):
            self._metrics.saved.inc()
            return None
        verdict = await self._ask(events)
        if not verdict.allowed:
            return Refusal(verdict.outcome, self._shown(verdict))
        unanswered = getattr(verdict, "mode", "") == "on_failure"
        return self._held(account) if unanswered and events[0]["type"] in OPENING else None

    def _held(self, account: str) -> Refusal | None:
        """Refuse what opens a chat to who is known to be under an enforcement.

        Else a service that is slow for a moment would open the door to exactly these accounts.
        """
        state = self._service.client.state(opaque_id(account))
        if state.outcome not in ENFORCED:
            return None
        due = state.notify_at_ms is None or state.notify_at_ms <= self._host.now_ms()
        shown = {"org.wavebreak.outcome": state.outcome, "org.wavebreak.retry_after_ms": RETRY_MS}
        return Refusal(state.outcome, shown if due else {})

    async def _ask(self, events: Sequence[Event]) -> Any:
        self._metrics.asked.inc()
        return await self._host.run_in_thread(self._service.attempt, events)

    def _shown(self, verdict: Any) -> dict[str, Any]:
        if verdict.notify_at_ms is not None and verdict.notify_at_ms > self._host.now_ms():
            return {}
        fields = {
            "org.wavebreak.outcome": verdict.outcome,
            "org.wavebreak.until": verdict.until_ms,
            "org.wavebreak.retry_after_ms": verdict.retry_after_ms,
            "org.wavebreak.notice": verdict.notice,
            "org.wavebreak.statement_url": verdict.statement_url,
        }
        return {name: value for name, value in fields.items() if value is not None}

    def _forbid(self, act: str, refusal: Refusal) -> Any:
        self._metrics.refused.labels(act, refusal.outcome).inc()
        return (self._answers.forbidden, dict(refusal.fields))

    def _refused(self, act: str, outcome: str) -> Any:
        return self._forbid(act, Refusal(outcome, {}))

    async def _is_exempt(self, account: str) -> bool:
        if not self._host.is_mine(account):
            return False
        exempt = self._exempt.get(account)
        if exempt is None:
            info = await self._host.user_info(account)
            columns = None
            if info is not None:
                columns = (info.is_admin, info.is_guest, info.appservice_id, info.user_type)
            exempt = is_exempt(self._settings, account, columns, self._host.notices_account)
            self._exempt.put(account, exempt)
        return exempt

    async def _keep(self, put: Callable[[tables.Transaction, Event], None], event: Event) -> None:
        """Put an event into the outbox; where that fails, the act is judged all the same."""
        try:
            await self._host.run_db("wavebreak_put_event", put, event)
        except Exception as error:
            # Its text might quote an account.
            self._metrics.unkept.inc()
            log.error("an event of type %s is lost: %s", event["type"], type(error).__name__)

    def _invitation(self, id: str, inviter: str, invitee: str, room: Room) -> Event:
        return invitation_event(id, None, inviter, invitee, room, self._host.server_name)

    async def _address_id(self, address: Any) -> str:
        """Return what an e-mail address or a number is called: its keyed hash."""
        if self._hash_key is None:
            self._hash_key = await self._host.run_db("wavebreak_hash_key", tables.hash_key)
        text = f"{address.get('medium')}\n{str(address.get('address')).strip().lower()}"
        digest = hmac.new(self._hash_key, text.encode(), hashlib.sha256).hexdigest()
        return f"address:{digest}"


def guarded(function: Callable[..., Awaitable[Any]], default: Any) -> Callable[..., Awaitable[Any]]:
    """Return a callback that lets an act pass where it fails itself.

    Args:
        function: The callback.
        default: Its answer where it raises; a failure of the module must stop nobody.
    """

    @functools.wraps(function)
    async def run(*arguments: Any, **named: Any) -> Any:
        try:
            return await function(*arguments, **named)
        except Exception as error:
            # Its text might quote an account.
            log.error("%s failed: %s", function.__name__, type(error).__name__)
            return default

    return run


def _new_id() -> str:
    return f"attempt:{secrets.token_hex(16)}"


def _put_pending(txn: tables.Transaction, event: Event) -> None:
    tables.put_event(txn, event, ready=False)


def _connection(info: tuple[str | None, str]) -> Event:
    """Return address and client of a request, where they can be read."""
    agent, address = info
    fields: Event = {}
    try:
        fields["ip"] = str(ipaddress.ip_address(address))
    except ValueError:
        log.debug("a request has no address")
    client = client_of(agent)
    if client is not None:
        fields["client"] = client
    return fields
