"""State of the platform's rules: records in shards, taken on by workers, dumped and loaded.

It knows slots alone. Names, owners and words are of `platform.portfolios`, who has which slot.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import numpy as np

from wavebreak.errors import SnapshotError
from wavebreak.features.keyed_hash import pair_salts, random_secret
from wavebreak.features.memory import GrowableArray
from wavebreak_business.platform import kernel
from wavebreak_business.platform.laws import laws_of
from wavebreak_business.settings import Limits

_FULL = 0.7
_GROWTH = 1.5
_SHARED = (("ports", kernel.PORTFOLIO), ("numbers", kernel.NUMBER), ("templates", kernel.TEMPLATE))
_SHARDED = (("nodes", kernel.NODE), ("places", kernel.PLACE), ("scoped", kernel.SCOPED))


class Shard:
    """The people of a shard's portfolios: records, and the tables that find them."""

    def __init__(self) -> None:
        self.nodes, self.places = GrowableArray(kernel.NODE, 64), GrowableArray(kernel.PLACE, 64)
        self.scoped = GrowableArray(kernel.SCOPED, 8)
        self.table, self.words = np.zeros(64, np.int32), np.zeros(8, np.int32)

    def fit(self, used: Any, more: int, salts: Any) -> None:
        """Make room for as many acts, each of which may need one record of a kind."""
        self.nodes.fit(int(used["nodes"]) + more)
        self.places.fit(int(used["places"]) + more)
        self.scoped.fit(int(used["scoped"]) + more)
        self.table = _fitted(self.table, self.nodes.records, int(used["nodes"]), more, salts)
        self.words = _fitted(self.words, self.scoped.records, int(used["scoped"]), more, salts)


def _fitted(table: Any, records: Any, used: int, more: int, salts: Any) -> Any:
    if used + more <= table.size * _FULL:
        return table
    return _grown(records, used, max(more, int(table.size * _FULL * _GROWTH) - used), salts)


def _grown(records: Any, used: int, more: int, salts: Any) -> Any:
    """Return a table of the records with room for more."""
    table = np.zeros(int((used + more) / _FULL) + 1, np.int32)
    kernel.fill_table(table, records, used, salts)
    return table


class State:
    """Portfolios, numbers, templates and the people that portfolios know.

    Args:
        workers: Threads; no answer depends on it.
        secret: Of the tables' hashes (None: a random one); no answer depends on it.

    >>> from wavebreak_business.settings import load_limits
    >>> state = State(load_limits())
    >>> state.add_portfolio(limit=250), state.add_number(0, rate=80)
    (0, 0)
    """

    def __init__(self, limits: Limits, *, workers: int = 1, secret: bytes | None = None) -> None:
        self.limits, self.laws = limits, laws_of(limits)
        self.salts = np.array(pair_salts(secret or random_secret(), "business"), np.uint64)
        self.ports, self.numbers = (
            GrowableArray(kernel.PORTFOLIO, 64),
            GrowableArray(kernel.NUMBER, 64),
        )
        self.templates = GrowableArray(kernel.TEMPLATE, 64)
        self.counts = dict.fromkeys(("ports", "numbers", "templates"), 0)
        self.shards: dict[int, Shard] = {}
        """By number; one without portfolios takes no memory."""
        self.used = np.zeros(kernel.SHARDS, kernel.SHARD)
        self.used["free"] = -1
        self.workers = workers
        self._pool = ThreadPoolExecutor(workers - 1) if workers > 1 else None
        self._bound_templates()

    def _bound_templates(self) -> None:
        """Keep one record after the last template that belongs to nobody."""
        self.templates.fit(self.counts["templates"] + 1)
        last = self.templates.records[self.counts["templates"]]
        last["portfolio"] = kernel.NONE

    # Registry.

    def add_portfolio(self, limit: int, *, paced: bool = False) -> int:
        """Return the slot of a new portfolio; `limit` -1: none."""
        slot = self._next("ports")
        p = self.ports.records[slot]
        p["head"], p["tail"], p["limit"], p["dropped"] = -1, -1, limit, kernel.NEVER
        self.set_paced(slot, paced)
        return slot

    def add_number(self, portfolio: int, rate: int) -> int:
        """Return the slot of a new number that sends so many messages a second."""
        slot = self._next("numbers")
        self.numbers.records[slot]["portfolio"] = portfolio
        self.numbers.records[slot]["rate"] = rate
        return slot

    def add_template(self, portfolio: int, category: int) -> int:
        """Return the slot of a new template, which is not approved yet."""
        slot = self._next("templates")
        t = self.templates.records[slot]
        t["portfolio"], t["category"], t["status"] = portfolio, category, kernel.PENDING
        t["until"] = 0
        self._bound_templates()
        return slot

    def _next(self, name: str) -> int:
        slot = self.counts[name]
        self.counts[name] += 1
        getattr(self, name).fit(slot + 2)
        return slot

    def set_limit(self, portfolio: int, limit: int) -> None:
        """Set how many people a portfolio may write to; -1: no limit."""
        self.ports.records[portfolio]["limit"] = limit
        self.ports.records[portfolio]["raise_at"] = 0

    def set_paced(self, portfolio: int, paced: bool) -> None:
        """Pace a portfolio from its first batch on, or no longer."""
        p = self.ports.records[portfolio]
        p["paced"] = paced
        if not paced:
            p["pace"] = kernel.FREE
        elif p["pace"] == kernel.FREE:
            self._start(p, int(p["clock"]), int(self.laws["portfolio_first"]))

    def set_rate(self, number: int, rate: int) -> None:
        """Set how many messages a second a number sends."""
        self.numbers.records[number]["rate"] = rate

    def move_number(self, number: int, portfolio: int) -> None:
        """Move a number to another portfolio (NONE: to nobody)."""
        self.numbers.records[number]["portfolio"] = portfolio

    def set_template(self, template: int, status: int, category: int, at: int) -> None:
        """Set status and category of a template; what becomes approved is paced as a new one.

        A person's approval ends a pause of either kind.
        """
        t = self.templates.records[template]
        p = self.ports.records[int(t["portfolio"])]
        now = max(at, int(p["clock"]))
        before, t["category"] = int(t["status"]), category
        t["status"], t["pace"] = status, kernel.FREE if before != status else t["pace"]
        t["until"] = kernel.ENDLESS if status in (kernel.PACED, kernel.DISABLED) else 0
        if (
            status == kernel.APPROVED
            and before != kernel.APPROVED
            and int(self.laws["paced"]) >> category & 1
        ):
            self._start(t, now, int(self.laws["pace_first"]))

    @staticmethod
    def _start(q: Any, now: int, size: int) -> None:
        q["pace"], q["pace_from"], q["pace_size"] = kernel.COUNTING, now, size
        q["pace_at"], q["pace_people"], q["pace_points"] = 0, 0, 0

    def inherit_step(self, portfolio: int, other: int) -> None:
        """Put a portfolio on the step of the ladder on which another is."""
        for name in ("step", "told", "begins", "until"):
            self.ports.records[portfolio][name] = self.ports.records[other][name]

    def reverse_step(self, portfolio: int, at: int, by: int = 1) -> int:
        """Take a portfolio's last step back: it is over, and does not count; return the step.

        `by`: how many steps it was above the one before.
        """
        p = self.ports.records[portfolio]
        p["step"] = max(int(p["step"]) - by, 0)
        p["until"] = p["begins"] = max(at, int(p["clock"]))
        return int(p["step"])

    def take_step(self, portfolio: int, step: int, at: int) -> None:
        """Put a portfolio on a step of the ladder, as the rules would from the one below."""
        p = self.ports.records[portfolio]
        p["step"], p["until"] = step - 1, kernel.ENDLESS
        kernel.step_up(p, self.laws, max(at, int(p["clock"])))

    def end_step(self, portfolio: int, at: int) -> None:
        """Let a person end what a step bars; it goes on counting."""
        self.ports.records[portfolio]["until"] = max(
            at, int(self.ports.records[portfolio]["clock"])
        )

    # Acts.

    def advance(self, acts: Any) -> Any:
        """Take acts (dtype ACT) in the order of the log; return their answers (dtype ANSWER).

        The portfolio of an act that names a number is the number's.
        """
        answers = np.zeros(acts.size, kernel.ANSWER)
        answers["outcome"], answers["opens"], answers["template"] = (
            kernel.NOT_A_SEND,
            kernel.NEVER,
            kernel.NONE,
        )
        named = acts["number"] < self.counts["numbers"]
        numbers = np.where(named, acts["number"], 0)
        held = self.numbers.records["portfolio"][numbers]
        sends = acts["kind"] == kernel.SEND
        acts["portfolio"] = np.where(named, held, np.where(sends, kernel.NONE, acts["portfolio"]))
        order, offsets = np.zeros(acts.size, np.uint32), np.zeros(kernel.SHARDS + 1, np.int64)
        kernel.group_by_shard(acts, self.counts["ports"], order, offsets, answers)
        busy = np.flatnonzero(np.diff(offsets))
        for s in busy.tolist():
            if s not in self.shards:
                self.shards[s] = Shard()
            self.shards[s].fit(self.used[s], int(offsets[s + 1] - offsets[s]), self.salts)

        threads = max(min(self.workers, busy.size), 1)

        def work(turn: int) -> None:
            for s in busy[turn::threads].tolist():
                shard = self.shards[s]
                kernel.process(
                    self.laws, self.ports.records, self.numbers.records,
                    self.templates.records[: self.counts["templates"] + 1], shard.nodes.records,
                    shard.table, shard.places.records, shard.scoped.records, shard.words,
                    self.used[s], self.salts, acts, order, int(offsets[s]), int(offsets[s + 1]),
                    answers,
                )  # fmt: skip

        others = self._pool.map(work, range(1, threads)) if self._pool else ()
        work(0)
        list(others)
        return answers

    def merge_people(self, kept: int, gone: int) -> None:
        """Let two people be one; what portfolios know of either holds for `kept`."""
        if kept == gone:
            return
        numbers = self.numbers.records["portfolio"][: self.counts["numbers"]]
        for portfolio in range(self.counts["ports"]):
            s = portfolio % kernel.SHARDS
            if s not in self.shards:
                continue
            shard, used = self.shards[s], self.used[s]
            owned = np.flatnonzero(numbers == portfolio)
            shard.fit(used, 1 + owned.size, self.salts)
            arguments = (shard.nodes.records, shard.table, shard.places.records, used, self.salts)
            if not kernel.merge_person(
                self.laws, portfolio, self.ports.records[portfolio], *arguments, kept, gone
            ):
                continue
            node = self.node_of(portfolio, kept)
            for number in owned.tolist():
                kernel.merge_words(
                    node, number, shard.scoped.records, shard.words, used, self.salts, kept, gone
                )

    # What is known.

    def node_of(self, portfolio: int, person: int) -> Any:
        """Return what a portfolio knows of a person (dtype NODE); None: nothing."""
        shard = self.shards.get(portfolio % kernel.SHARDS)
        if shard is None:
            return None
        nodes = shard.nodes.records
        i, _ = kernel.find(shard.table, nodes, portfolio, person, self.salts)
        return nodes[i] if i >= 0 else None

    def people(self) -> Any:
        """Return the people of whom a portfolio knows something."""
        keys = [
            getattr(shard, name).records[: int(self.used[s][name])]["key"]
            for s, shard in self.shards.items()
            for name in ("nodes", "scoped")
        ]
        joined = np.concatenate([np.zeros(0, np.uint64), *keys])
        return (joined & np.uint64(0xFFFFFFFF)).astype(np.int64)

    def rating_of(self, portfolio: int) -> int:
        """Return the rating of a portfolio as of its clock."""
        return int(kernel.rating(self.ports.records[portfolio], self.laws))

    def rating_of_template(self, template: int) -> int:
        """Return the rating of a template as of its last day."""
        return int(kernel.rating(self.templates.records[template], self.laws))

    def bars_of(self, portfolio: int, at: int) -> int:
        """Return what a portfolio's step bars at a time."""
        p = self.ports.records[portfolio]
        return int(kernel.bars_of(p, self.laws, max(at, int(p["clock"]))))

    def held_state(self, template: int, at: int) -> Literal["held", "dropped", "released"]:
        """Return what has become of messages of a template that were held, as of a time."""
        t = self.templates.records[template]
        portfolio = int(t["portfolio"])
        p, laws = self.ports.records[portfolio], self.laws
        in_batch = int(t["pace"]) != kernel.FREE and int(t["pace_from"]) <= int(p["dropped"])
        barred = self.bars_of(portfolio, at) != kernel.BARS_NOTHING
        if int(t["status"]) != kernel.APPROVED or in_batch or barred:
            return "dropped"
        for q in (t, p):
            if int(q["pace"]) == kernel.HOLDING:
                if at < int(q["pace_at"]) + int(laws["pace_wait"]):
                    return "held"
                if kernel.is_bad(q, laws):
                    return "dropped"
        return "released"

    def used_of(self, portfolio: int, at: int = 0) -> int:
        """Return how many places of a portfolio's limit are taken at its clock, or later."""
        p = self.ports.records[portfolio]
        shard = self.shards.get(portfolio % kernel.SHARDS)
        if shard is None:
            return 0
        oldest = max(int(p["clock"]), at) - int(self.laws["span"])
        return int(kernel.people_counted(p, shard.nodes.records, shard.places.records, oldest))

    def nbytes(self) -> dict[str, int]:
        """Return the bytes in use by people, places and words, and by the tables."""
        return {
            "people": int(self.used["nodes"].sum()) * kernel.NODE.itemsize,
            "places": int(self.used["places"].sum()) * kernel.PLACE.itemsize,
            "words": int(self.used["scoped"].sum()) * kernel.SCOPED.itemsize,
            "tables": sum(
                shard.table.nbytes + shard.words.nbytes for shard in self.shards.values()
            ),
        }

    def dump(self) -> dict[str, Any]:
        """Return the state as named arrays."""
        arrays: dict[str, Any] = {"used": self.used.copy()}
        for name, _ in _SHARED:
            arrays[name] = getattr(self, name).records[: self.counts[name]].copy()
        for name, dtype in _SHARDED:
            parts = [
                getattr(self.shards[s], name).records[: int(self.used[s][name])]
                for s in sorted(self.shards)
            ]
            arrays[name] = np.concatenate([np.zeros(0, dtype), *parts])
        return arrays

    def load(self, arrays: Mapping[str, Any]) -> None:
        """Restore the state from a dump, on any number of workers; raises SnapshotError."""
        types = dict((*_SHARED, *_SHARDED, ("used", kernel.SHARD)))
        if any(name not in arrays or arrays[name].dtype != types[name] for name in types):
            raise SnapshotError(
                "the state of a business platform has another layout",
                fix="make it anew from the log",
            )
        for name, _ in _SHARED:
            self.counts[name] = int(arrays[name].size)
            getattr(self, name).fit(arrays[name].size + 2)
            getattr(self, name).hold(arrays[name])
        self._bound_templates()
        self.used = arrays["used"].copy()
        begins = dict.fromkeys((name for name, _ in _SHARDED), 0)
        self.shards = {}
        for s, used in enumerate(self.used):
            if not any(used[name] for name in begins):
                continue
            shard = self.shards[s] = Shard()
            for name in begins:
                count = int(used[name])
                part = arrays[name][begins[name] : begins[name] + count]
                getattr(shard, name).hold(part)
                begins[name] += count
            shard.table = _grown(shard.nodes.records, int(used["nodes"]), 64, self.salts)
            shard.words = _grown(shard.scoped.records, int(used["scoped"]), 8, self.salts)
