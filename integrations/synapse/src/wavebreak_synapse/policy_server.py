"""`POST /_matrix/policy/v1/sign`: this homeserver as the policy server of rooms (MSC4284).

The servers of a room whose `m.room.policy` names this one send every event here, with its body,
before it is delivered. Only metadata of it goes on to Wavebreak, as of any other event. What
Wavebreak refuses is refused; all else is signed, and so is everything while Wavebreak does not
answer: a room whose policy server is silent stands still.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, TypeVar

from signedjson.key import get_verify_key, read_signing_keys
from synapse.api.errors import Codes, SynapseError
from synapse.api.room_versions import KNOWN_ROOM_VERSIONS
from synapse.config.ratelimiting import FederationRatelimitSettings
from synapse.crypto.event_signing import check_event_content_hash, compute_event_signature
from synapse.events import EventBase
from synapse.federation.federation_base import event_from_pdu_json
from synapse.federation.transport.server._base import Authenticator, BaseFederationServlet
from synapse.http.server import JsonResource
from synapse.module_api import make_deferred_yieldable, run_in_background
from synapse.util.ratelimitutils import FederationRateLimiter
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from unpaddedbase64 import encode_base64

from wavebreak_synapse import tables
from wavebreak_synapse.callbacks import Callbacks, Host, Refusal
from wavebreak_synapse.lru import Cache
from wavebreak_synapse.mapping import Pdu

log = logging.getLogger("wavebreak_synapse")

SIGN_PATH = "/_matrix/policy/v1/sign"
ANSWER_S = 1.0
"""After so long an event is signed, whatever keeps the answer."""
# Of one server. Above that of Synapse's other requests: a busy room asks about each event, and a
# refusal stops it.
RATE = FederationRatelimitSettings(
    window_size=1000, sleep_limit=200, sleep_delay=100, reject_limit=1000, concurrent=50
)
REMEMBERED = 20_000
REMEMBERED_S = 3600.0
_TEXTS = ("type", "sender", "room_id")

T = TypeVar("T")


def sign_resource(hs: Any, key: str, host: Host, callbacks: Callbacks) -> JsonResource:
    """Return the resource, behind Synapse's own authentication and rate limit of servers.

    Args:
        hs: The homeserver.
        key: The signing key, as its file has it.
        host: What is needed of the homeserver.
        callbacks: They decide.
    """
    resource = JsonResource(hs)
    limiter = FederationRateLimiter(
        our_server_name=hs.hostname,
        clock=hs.get_clock(),
        config=RATE,
        metrics_name="wavebreak_policy",
    )
    servlet = SignServlet(hs, Authenticator(hs), limiter, hs.hostname)
    servlet.policy = RoomPolicy(hs, key, host, callbacks)
    servlet.register(resource)
    return resource


class SignServlet(BaseFederationServlet):  # type: ignore[misc]
    """Answers servers; Synapse verifies their X-Matrix signature before."""

    PREFIX = ""
    PATH = SIGN_PATH
    policy: RoomPolicy

    async def on_POST(  # noqa: N802
        self, origin: str, content: dict[str, Any], query: Any
    ) -> tuple[int, dict[str, Any]]:
        """Sign an event, or refuse to."""
        return 200, await self.policy.sign(content)


class RoomPolicy:
    """Decides about events of rooms whose policy server this is, and signs them.

    Args:
        hs: The homeserver.
        key: The signing key, as its file has it.
        host: What is needed of the homeserver.
        callbacks: They decide.
    """

    def __init__(self, hs: Any, key: str, host: Host, callbacks: Callbacks) -> None:
        self._keyring = hs.get_keyring()
        (self._key,) = read_signing_keys([key])
        self._public_key = encode_base64(get_verify_key(self._key).encode())
        self._host = host
        self._callbacks = callbacks
        # Each server of a room may ask about the same event; they get the same answer.
        self._refused: Cache[str, Refusal] = Cache(REMEMBERED, REMEMBERED_S)

    async def sign(self, pdu: dict[str, Any]) -> dict[str, dict[str, str]]:
        """Return the signature of an event, by server and key.

        Args:
            pdu: The event, as a server sent it.

        Raises:
            SynapseError: 400 M_FORBIDDEN where it is refused, M_NOT_FOUND where this is not the
                room's policy server, M_BAD_JSON where it is no event.
        """
        event = await self._verified(pdu)
        refusal = self._refused.get(event.event_id)
        if refusal is None:
            seen = Pdu(
                event.event_id,
                event.type,
                event.sender,
                event.room_id,
                0,
                event.content,
                event.get_state_key(),
            )
            refusal = await _within(ANSWER_S, self._callbacks.refusal_by_policy, seen)
        if refusal is not None:
            self._refused.put(event.event_id, refusal)
            _refuse(Codes.FORBIDDEN, "refused by the policy server", dict(refusal.fields))
        name = self._host.server_name
        signed = compute_event_signature(event.room_version, event.get_pdu_json(), name, self._key)
        return {name: dict(signed[name])}

    async def _verified(self, pdu: dict[str, Any]) -> EventBase:
        """Return an event of a room whose policy server this is, that its sender's server signed.

        Else any server could have acts of others' accounts counted.
        """
        state_key = pdu.get("state_key", "")
        texts = [*(pdu.get(name) for name in _TEXTS), state_key]
        formed = all(isinstance(each, str) for each in texts)
        if not formed or not isinstance(pdu.get("content"), dict):
            _refuse(Codes.BAD_JSON, "the event has no type, sender, room or content")
        room = await self._host.run_db("wavebreak_policy", tables.read_policy, pdu["room_id"])
        version = KNOWN_ROOM_VERSIONS.get(room[0]) if room else None
        if room is None or version is None or not self._is_ours(room[1]):
            _refuse(Codes.NOT_FOUND, "this is not the room's policy server")
        try:
            event = event_from_pdu_json(pdu, version)
            if not check_event_content_hash(event):
                _refuse(Codes.BAD_JSON, "the event is not what its hash says")
            sent = event.origin_server_ts if version.enforce_key_validity else 0
            domain = event.sender.partition(":")[2]
            await self._keyring.verify_event_for_server(domain, event, sent)
        except SynapseError as error:
            if error.errcode == Codes.BAD_JSON:
                raise
            _refuse(Codes.FORBIDDEN, "the sender's server did not sign the event")
        except (AttributeError, KeyError, TypeError, ValueError):
            _refuse(Codes.BAD_JSON, "the event is not formed as its room's version asks")
        return event

    def _is_ours(self, policy: dict[str, Any]) -> bool:
        keys = policy.get("public_keys")
        key = keys.get("ed25519") if isinstance(keys, dict) else None
        return policy.get("via") == self._host.server_name and key == self._public_key


def _refuse(code: str, why: str, shown: dict[str, Any] | None = None) -> NoReturn:
    raise SynapseError(400, why, code, additional_fields=shown or {})


async def _within(
    seconds: float, function: Callable[..., Awaitable[T]], *arguments: Any
) -> T | None:
    """Return the result of a function; None where it fails or takes longer, and it goes on."""
    answer: Deferred[T | None] = Deferred()

    def end(result: T | None) -> None:
        if not answer.called:
            answer.callback(result)

    async def run() -> None:
        result = None
        try:
            result = await function(*arguments)
        except Exception as error:
            # Its text might quote an account.
            log.error("%s failed: %s", function.__name__, type(error).__name__)
        end(result)

    timer = reactor.callLater(seconds, functools.partial(end, None))
    run_in_background(run)
    try:
        result: T | None = await make_deferred_yieldable(answer)
        return result
    finally:
        if timer.active():
            timer.cancel()
