"""Carries enforcement states into the homeserver: suspensions, their undoing, notices.

Runs in the main process. An account is suspended, never deactivated and never
shadow-banned; a lift undoes it at once. A suspension that an administrator set is left alone.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from wavebreak_synapse import tables
from wavebreak_synapse.callbacks import SILENCED, Host
from wavebreak_synapse.config import Settings
from wavebreak_synapse.feed import is_exempt
from wavebreak_synapse.metrics import Metrics
from wavebreak_synapse.notices import text_of
from wavebreak_synapse.service import Service

log = logging.getLogger("wavebreak_synapse")

NOTIFIED = frozenset({"limit", "restrict", "suspend", "ban"})


@dataclass(frozen=True)
class Actions:
    """What is done to accounts.

    Attributes:
        suspend: Suspends an account, or undoes it.
        notify: Sends a server notice; None: the homeserver has none.
    """

    suspend: Callable[[str, bool], Awaitable[None]]
    notify: Callable[[str, str], Awaitable[None]] | None


class Enforcement:
    """Keeps suspensions and notices as the states are.

    Args:
        settings: The module's settings.
        host: The homeserver.
        service: The connection to Wavebreak.
        actions: What is done to accounts.
        metrics: What is counted.
    """

    def __init__(
        self,
        settings: Settings,
        host: Host,
        service: Service,
        actions: Actions,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._host = host
        self._service = service
        self._actions = actions
        self._metrics = metrics
        self._suspended: set[str] | None = None
        self._sent: dict[str, tuple[int, str]] = {}
        self._left_alone: set[str] = set()

    async def run(self) -> None:
        """Act on what changed; called again and again."""
        if not self._service.client.health().states_fresh:
            return
        states = {
            state.account: state
            for state in self._service.client.states()
            if self._host.is_mine(state.account) and state.account.startswith("@")
        }
        if self._suspended is None:
            await self._load()
        # The notice first: who is suspended cannot join the room that it is sent in.
        await self._notify(states)
        await self._deliver()
        await self._suspend({name for name, s in states.items() if s.outcome in SILENCED})

    async def _load(self) -> None:
        held = await self._host.run_db("wavebreak_suspensions", tables.read_suspensions)
        self._sent = await self._host.run_db("wavebreak_notices", tables.read_notices)
        for account in sorted(held):
            # A stop between the note and the act would have left it undone.
            await self._actions.suspend(account, True)
        self._suspended = held

    async def _suspend(self, wanted: set[str]) -> None:
        suspended = self._suspended
        if suspended is None:
            return
        self._left_alone &= wanted
        for account in sorted(wanted - suspended - self._left_alone):
            info = await self._host.user_info(account)
            if info is None or info.suspended or self._is_exempt(account, info):
                self._left_alone.add(account)
                continue
            await self._note(account, True)
            await self._actions.suspend(account, True)
            suspended.add(account)
        for account in sorted(suspended - wanted):
            await self._actions.suspend(account, False)
            await self._note(account, False)
            suspended.discard(account)
        self._metrics.suspended.set(len(suspended))

    async def _note(self, account: str, suspended: bool) -> None:
        await self._host.run_db(
            "wavebreak_write_suspension", tables.write_suspension, account, suspended
        )

    async def _notify(self, states: dict[str, Any]) -> None:
        notify = self._actions.notify
        if notify is None or not self._settings.notices.enabled:
            return
        now = self._host.now_ms()
        for account, state in sorted(states.items()):
            number, last = self._sent.get(account, (0, "lifted"))
            due = state.notify_at_ms is None or state.notify_at_ms <= now
            if state.outcome in NOTIFIED and state.number > number and due:
                if state.outcome != last:
                    await self._send(notify, account, state.outcome, state.until_ms)
                await self._sent_now(account, state.number, state.outcome)
        for account, (number, last) in sorted(self._sent.items()):
            state = states.get(account)
            if last != "lifted" and (state is None or state.outcome not in NOTIFIED):
                await self._send(notify, account, "lifted", None)
                await self._sent_now(account, number, "lifted")

    async def _deliver(self) -> None:
        """Send what callbacks of any worker kept: questions to recipients, and places left."""
        notify = self._actions.notify
        if notify is None or not self._settings.notices.enabled:
            return
        now = self._host.now_ms()
        waiting = await self._host.run_db("wavebreak_read_messages", tables.read_messages, now)
        for name, account, texts in waiting:
            # Once at most: a question that comes again and again would be worse than none.
            await self._host.run_db("wavebreak_mark_message", tables.mark_message, name)
            info = await self._host.user_info(account)
            if info is None or self._is_exempt(account, info):
                continue
            language = await self._host.run_db("wavebreak_language", tables.read_language, account)
            text = texts.get(language or "") or texts.get(self._settings.language) or texts["en"]
            try:
                await notify(account, text)
            except Exception as error:
                log.warning("a message was not sent: %s", type(error).__name__)

    async def _send(
        self,
        notify: Callable[[str, str], Awaitable[None]],
        account: str,
        outcome: str,
        until_ms: int | None,
    ) -> None:
        info = await self._host.user_info(account)
        if info is None or self._is_exempt(account, info):
            return
        language = await self._host.run_db("wavebreak_language", tables.read_language, account)
        settings = self._settings
        text = text_of(settings.notices, outcome, until_ms, language, settings.language)
        try:
            await notify(account, text)
        except Exception as error:
            # Whatever a homeserver raises: the next notice must not wait for this one.
            log.warning("a notice of %s was not sent: %s", outcome, type(error).__name__)

    async def _sent_now(self, account: str, number: int, outcome: str) -> None:
        await self._host.run_db(
            "wavebreak_write_notice", tables.write_notice, account, number, outcome
        )
        self._sent[account] = (number, outcome)

    def _is_exempt(self, account: str, info: Any) -> bool:
        columns = (info.is_admin, info.is_guest, info.appservice_id, info.user_type)
        return is_exempt(self._settings, account, columns, self._host.notices_account)
