"""Takes back what an account sent to strangers, once it is restricted, suspended or banned.

Runs in the main process, beside `enforcement`. What is taken back is read from the homeserver's
tables each time, so that a stop in the middle is made up for after the next start. A lift gives
nothing back: an invitation that is withdrawn is gone.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from wavebreak_synapse import tables
from wavebreak_synapse.callbacks import NO_NEW_CHATS, Host
from wavebreak_synapse.config import Settings
from wavebreak_synapse.feed import is_exempt
from wavebreak_synapse.metrics import Metrics
from wavebreak_synapse.service import Service

log = logging.getLogger("wavebreak_synapse")

SETTLED_MS = 5_000
"""So long after a decision what was allowed right before it is in the tables."""
REACH_MS = 2_592_000_000
"""What is older than thirty days is left: it is no part of what an account is judged for."""


@dataclass(frozen=True)
class Withdrawals:
    """What is done about what an account sent.

    Attributes:
        remove: Has an account remove another one from a room, or withdraw its own knock; raises
            where the room does not permit it.
        decline: Leaves a room on behalf of an invited account of this server.
        redact: Has an account redact an event of its own: account, room, event.
    """

    remove: Callable[[str, str, str], Awaitable[None]]
    decline: Callable[[str, str], Awaitable[None]]
    redact: Callable[[str, str, str], Awaitable[None]]


class TakeBack:
    """Withdraws invitations and knocks that nobody answered, and, if chosen, messages.

    Args:
        settings: The module's settings.
        host: The homeserver.
        service: The connection to Wavebreak.
        withdrawals: What is done.
        metrics: What is counted.
    """

    def __init__(
        self,
        settings: Settings,
        host: Host,
        service: Service,
        withdrawals: Withdrawals,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._host = host
        self._service = service
        self._withdrawals = withdrawals
        self._metrics = metrics
        self._taken: dict[str, int] | None = None
        self._begun: dict[tuple[str, int], int] = {}

    async def run(self) -> None:
        """Take back what there is; called again and again."""
        if self._settings.take_back == "off" or not self._service.client.health().states_fresh:
            return
        if self._taken is None:
            self._taken = await self._host.run_db("wavebreak_taken", tables.read_taken_back)
        now = self._host.now_ms()
        for state in sorted(self._service.client.states(), key=lambda each: each.account):
            account = state.account
            mine = account.startswith("@") and self._host.is_mine(account)
            if not mine or state.outcome not in NO_NEW_CHATS:
                continue
            if self._taken.get(account, -1) >= state.number:
                continue
            # Twice: at once, and when what was under way at the decision has arrived.
            begun = self._begun.get((account, state.number))
            if begun is None:
                self._begun[account, state.number] = now
            elif now - begun < SETTLED_MS:
                continue
            await self._withdraw(account, now - REACH_MS)
            if begun is not None:
                await self._host.run_db(
                    "wavebreak_write_taken", tables.write_taken_back, account, state.number
                )
                self._taken[account] = state.number
                del self._begun[account, state.number]

    async def _withdraw(self, account: str, since: int) -> None:
        info = await self._host.user_info(account)
        if info is None:
            return
        columns = (info.is_admin, info.is_guest, info.appservice_id, info.user_type)
        if is_exempt(self._settings, account, columns, self._host.notices_account):
            return
        run_db = self._host.run_db
        for room, invitee, event in await run_db(
            "wavebreak_pending", tables.pending_invitations, account, since
        ):
            await self._invitation(account, room, invitee, event)
        for room in await run_db("wavebreak_knocks", tables.pending_knocks, account):
            await self._try("knock", self._withdrawals.remove(account, account, room))
        if self._settings.take_back != "messages":
            return
        for room, event in await run_db(
            "wavebreak_unanswered", tables.unanswered_messages, account, since
        ):
            await self._try("message", self._withdrawals.redact(account, room, event))

    async def _invitation(self, account: str, room: str, invitee: str, event: str) -> None:
        if not await self._host.run_db(
            "wavebreak_still_invited", tables.is_still_invited, room, invitee, event
        ):
            return  # Accepted in the meantime: a removal would take a chat from both.
        acts = self._withdrawals
        if await self._try("invitation", acts.remove(account, invitee, room)):
            return
        # In a direct chat who is invited often has the power of who invites, and cannot be removed.
        if self._host.is_mine(invitee):
            await self._try("invitation", acts.decline(invitee, room))
        else:
            await self._try("reason", acts.redact(account, room, event))

    async def _try(self, kind: str, act: Awaitable[None]) -> bool:
        try:
            await act
        except Exception as error:
            # Whatever a homeserver raises: the next one must not wait for this one.
            log.info("one %s was not taken back so: %s", kind, type(error).__name__)
            return False
        self._metrics.taken_back.labels(kind).inc()
        return True
