"""Watches policy rooms, and tells Wavebreak of those whom they name and who acted here.

The rooms' state is read from the homeserver's tables, so that some account of this server must be
in them. Only hits are told, never a list; by a key of their own, which can tell nothing else.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from wavebreak_synapse import tables
from wavebreak_synapse.callbacks import Host
from wavebreak_synapse.config import PolicyRooms, Settings
from wavebreak_synapse.lru import Cache
from wavebreak_synapse.mapping import Event
from wavebreak_synapse.policy_rules import (
    SERVER_RULES,
    USER_RULES,
    Hit,
    RuleSet,
    listed_event,
    parse_rule,
    unlisted_event,
)

log = logging.getLogger("wavebreak_synapse")

PAGE = 500
"""Hits that are told at once."""
REFRESH_MS = 2_000
LATE_S = 10.0
KNOWN = 50_000
KNOWN_S = 3600.0
MOST_GROWTH = 0.2
LEAST_GROWTH = 30
"""A list that grows within a day by more than this share, and so many entries, is paused."""
NOTED_MS = 10_000
"""So much of what was read of who acted is read again: a transaction may end late."""
Key = tuple[str, str, str]


@dataclass(frozen=True)
class Convicted:
    """The accounts that the service convicted: their hashes; and the version of the answer."""

    hashes: dict[str, str]
    etag: str


class ListsService:
    """The operations of the service that the key of lists may use.

    Args:
        url: Where the service is.
        key: A key with the scope `list`.
    """

    def __init__(self, url: str, key: str) -> None:
        self._http = httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=LATE_S
        )
        self.problem: str | None = None
        """Why the last request failed."""

    def tell(self, events: Sequence[Event], timeout_s: float = LATE_S) -> bool:
        """Tell what lists say; returns whether all of it arrived."""
        answer = self._request("POST", "/v1/events", timeout_s, json=list(events))
        if answer is None:
            return False
        refused = answer.json().get("refused") or ()
        if refused:
            log.error("%d of %d events about lists are refused", len(refused), len(events))
        return True

    def convicted(self, etag: str) -> Convicted | None:
        """Return whom the service convicted; None where that has not changed or is not known."""
        headers = {"If-None-Match": etag} if etag else {}
        answer = self._request("GET", "/v1/lists/convicted", LATE_S, headers=headers)
        if answer is None or answer.status_code == httpx.codes.NOT_MODIFIED:
            return None
        items = answer.json()["items"]
        return Convicted(
            {str(each["account"]): str(each["hash"]) for each in items},
            answer.headers.get("etag", ""),
        )

    def _request(
        self, method: str, path: str, timeout_s: float, **more: Any
    ) -> httpx.Response | None:
        try:
            answer = self._http.request(method, path, timeout=timeout_s, **more)
        except httpx.HTTPError as error:
            self.problem = f"the service did not answer about lists ({type(error).__name__})"
            return None
        if answer.status_code >= httpx.codes.BAD_REQUEST:
            self.problem = (
                f"the service answered {answer.status_code} about lists; fix: give lists.key_file a"
                " key with the scope list alone"
            )
            return None
        self.problem = None
        return answer

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


class PolicyRoomWatch:
    """The lists of one process.

    A list that is paused tells nothing new; what it told goes on, and is taken back.

    Args:
        settings: The module's settings, which name at least one room.
        host: The homeserver.
        service: Where hits are told.
    """

    def __init__(self, settings: Settings, host: Host, service: ListsService) -> None:
        self._settings = settings
        self._lists: PolicyRooms = settings.lists
        self._host = host
        self._service = service
        self._sets: dict[str, RuleSet] = {}
        self._seen: dict[str, tuple[int, int]] = {}
        self._read_at = -REFRESH_MS
        self._changed = False
        self._first: Cache[str, bool] = Cache(KNOWN, KNOWN_S)
        self._told: dict[Key, tuple[Hit, str]] | None = None
        self._noted = 0
        self.away: set[str] = set()
        """Lists whose rooms no account of this server is in."""
        self._paused: dict[str, str] = {}

    @property
    def problems(self) -> list[str]:
        """What is wrong, each with its fix."""
        found = [
            f"nobody of this server is in the room of the list {name}; fix: join it with an account"
            for name in sorted(self.away)
        ]
        found += [self._paused[name] for name in sorted(self._paused)]
        return found + ([self._service.problem] if self._service.problem else [])

    async def refresh(self) -> None:
        """Read the rooms that changed."""
        now = self._host.now_ms()
        if now - self._read_at < REFRESH_MS:
            return
        self._read_at = now
        for name, room in self._lists.rooms.items():
            mark = await self._host.run_db("wavebreak_list_mark", tables.policy_mark, room)
            if mark is None:
                self.away.add(name)
                continue
            self.away.discard(name)
            if self._seen.get(name) == mark:
                if name in self._paused:
                    await self._watch_growth(name, now)
                continue
            found = await self._host.run_db(
                "wavebreak_rules", tables.read_policy_rules, room, USER_RULES + SERVER_RULES
            )
            own = await self._host.run_db("wavebreak_published", tables.read_published)
            rules = [parse_rule(*row) for row in found]
            self._sets[name] = RuleSet(
                name, filter(None, rules), self._host.server_name, own.values()
            )
            self._seen[name] = mark
            await self._watch_growth(name, now)
            self._first = Cache(KNOWN, KNOWN_S)
            self._changed = True

    async def _watch_growth(self, name: str, now: int) -> None:
        """Pause a list that grew much since the day began, until an administrator resumes it."""
        size, today = self._sets[name].size, _day(now)
        held = await self._host.run_db("wavebreak_list_size", tables.read_list_size, name)
        before = size if held is None else held[0]
        if size > before * (1 + MOST_GROWTH) and size - before >= LEAST_GROWTH:
            self._paused[name] = (
                f"the list {name} grew from {before} to {size} entries within a day, and tells"
                " nothing new; fix: look at it, then"
                f" wavebreak-synapse resume-list {name} --config homeserver.yaml"
            )
            return
        if self._paused.pop(name, None) is not None:
            self._changed = True
        if held is None or held[1] != today:
            await self._host.run_db(
                "wavebreak_write_list_size", tables.write_list_size, name, size, today
            )

    async def tell_first(self, account: str) -> None:
        """Tell of an account that a list names before it is asked about for the first time."""
        if self._first.get(account):
            return
        await self.refresh()
        self._first.put(account, True)
        now = self._host.now_ms()
        events = [listed_event(hit, now) for hit in self._new_hits([account])]
        if events:
            late_s = self._settings.timeout_ms / 1000
            await self._host.run_in_thread(self._service.tell, events, late_s)

    def _hits(self, accounts: Sequence[str]) -> list[Hit]:
        return [hit for held in self._sets.values() for each in accounts for hit in held.hits(each)]

    def _new_hits(self, accounts: Sequence[str]) -> list[Hit]:
        return [hit for hit in self._hits(accounts) if hit.list not in self._paused]

    async def report(self) -> None:
        """Tell of hits that are new, withdrawn, or not told today; called again and again."""
        await self.refresh()
        run_db = self._host.run_db
        if self._told is None:
            rows = await run_db("wavebreak_hits", tables.read_hits)
            told = [(Hit(*row[:-1]), str(row[-1])) for row in rows]
            self._told = {hit.key: (hit, day) for hit, day in told}
        whole, self._changed = self._changed, False
        since = 0 if whole else self._noted - NOTED_MS
        accounts = await run_db("wavebreak_acted", tables.read_acted, since)
        found = await self._host.run_in_thread(self._hits, [name for name, _ in accounts])
        hits = {hit.key: hit for hit in found}
        done = await self._tell_listed(self._told, hits)
        if whole:
            done = await self._tell_unlisted(self._told, hits) and done
        if not done:
            self._changed = self._changed or whole
        elif accounts:
            self._noted = max(noted for _, noted in accounts)

    async def _tell_listed(self, told: dict[Key, tuple[Hit, str]], hits: Mapping[Key, Hit]) -> bool:
        now = self._host.now_ms()
        today = _day(now)
        new = [hit for key, hit in hits.items() if key not in told and hit.list not in self._paused]
        events = [(listed_event(hit, now), hit) for hit in new]
        for hit, day in told.values():
            # Of a list whose room cannot be read it is not known that it still says so.
            if day != today and hit.list in self._sets and hit.list not in self.away:
                events.append((listed_event(hit, now, today), hit))
        for page in _pages(events):
            if not await self._tell(page):
                return False
            rows = [(*hit, today) for _, hit in page]
            await self._host.run_db("wavebreak_write_hits", tables.write_hits, rows)
            told |= {hit.key: (hit, today) for _, hit in page}
        return True

    async def _tell_unlisted(
        self, told: dict[Key, tuple[Hit, str]], hits: Mapping[Key, Hit]
    ) -> bool:
        now = self._host.now_ms()
        gone = [
            (unlisted_event(hit, now), hit)
            for key, (hit, _) in told.items()
            if key not in hits and (hit.list in self._sets or hit.list not in self._lists.rooms)
        ]
        for page in _pages(gone):
            if not await self._tell(page):
                return False
            keys = [hit.key for _, hit in page]
            await self._host.run_db("wavebreak_delete_hits", tables.delete_hits, keys)
            for key in keys:
                del told[key]
        return True

    async def _tell(self, page: Sequence[tuple[Event, Hit]]) -> bool:
        events = [event for event, _ in page]
        return bool(await self._host.run_in_thread(self._service.tell, events))


def _pages(events: Sequence[tuple[Event, Hit]]) -> Iterator[Sequence[tuple[Event, Hit]]]:
    for start in range(0, len(events), PAGE):
        yield events[start : start + PAGE]


def _day(now_ms: int) -> str:
    moment = datetime.datetime.fromtimestamp(now_ms / 1000, datetime.timezone.utc)
    return moment.strftime("%Y-%m-%d")
