"""Replay a log through an enforcing engine: a refused event has no consequences.

Refusals: in a chat whose first message was refused, all events of the recipient are left out
(receipts, answers, blocks, reports), and all events of the sender except another attempt to open
the chat. A receipt or report of a refused message is left out in an open chat too.

Challenges: a share of the account holders (`Behaviour`) passes a challenge after a time of
log-normal length, drawn with a fixed seed.

Delays: a limit that ends within the hour delays. Persistent senders send the refused message again
when the limit ends, a second apart, for a day at most. Later events of the chat follow a minute
apart.

Requests: a chat under the outcome request starts as a message request. A share of the recipients
looks at it. If the log has no answer to the sender, a share declines or reports the request.

Actors: accounts beside those of the log, whose acts depend on decisions (`Actors`). The red team
adds its operators that way; without actors no sender adapts.

The engine gets the log in slices of a minute. Answers to a chat's first message within the same
slice move to the next slice, because only then is the decision on the first message final; the same
holds for receipts of accounts that are limited or worse.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from wavebreak.durations import DAY_MS, HOUR_MS, MINUTE_MS
from wavebreak.engine import Engine
from wavebreak.engine.decision import Decision
from wavebreak.features.layout import BARRED
from wavebreak.schema.events import CHALLENGES, REASONS, TS_END, TYPES

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Pair = tuple[str, str]
"""Two accounts' names, in order."""

SLICE_MS = MINUTE_MS
OPENING = frozenset(
    TYPES.index(t)
    for t in ("message.sent", "contact.requested", "group.member_added", "call.started")
)
TYPING = TYPES.index("typing.started")
ANSWERING = frozenset(TYPES.index(t) for t in ("message.sent", "contact.accepted"))
DECLINED, REPORTED = TYPES.index("contact.refused"), TYPES.index("user.reported")
PASSED = TYPES.index("challenge.passed")
ADDED = frozenset({"peer", "reason", "kind"})
"""Columns of events that a replay adds."""
NEW, MET, REFUSED, DELAYED, UNSEEN = range(5)
"""What became of a chat's first message."""
DELAY_MS = HOUR_MS
"""A limit of at most this length delays; a longer one refuses."""
HELD_MS = DAY_MS
"""A message that is delayed for longer counts as refused."""


def _shares(benign: Any, abusive: Any) -> Any:
    return field(default_factory=lambda: {"benign": benign, "abusive": abusive})


@dataclass(frozen=True)
class Behaviour:
    """Assumptions about account holders and recipients, by the label of the account or sender.

    Attributes:
        pass_shares: Share of the holders that pass a challenge.
        pass_log_s: Mean of the logarithm of the seconds until a holder passes.
        looked_at: Share of requests that are looked at.
        reactions: Shares of the requests without an answer that are declined and reported.
        reaction_log_s: Mean of the logarithm of the seconds until then.
    """

    pass_shares: Mapping[str, float] = _shares(0.92, 0.6)
    pass_log_s: float = 6.8
    looked_at: float = 0.5
    reactions: Mapping[str, tuple[float, float]] = _shares((0.1, 0.002), (0.3, 0.05))
    reaction_log_s: float = 8.2


class Actors(Protocol):
    """Accounts beside those of the log, whose acts depend on decisions."""

    def act(self, start: int, end: int) -> tuple[pa.Table, pa.Table] | None:
        """Return the events of a slice as log and as wire rows, in order of time."""

    def take_decision(self, decision: Decision) -> bool:
        """Handle a decision on an account of an actor; returns False for all other accounts."""

    def respond(self, is_refused: Bools, end: int) -> None:
        """Plan the consequences of the last slice's events, of which some were refused."""


class Challenges:
    """Challenges of account holders, including those under a limit that refused an act.

    Args:
        delays_ms: The time until the holder passes, by account; all others never pass.
    """

    def __init__(self, delays_ms: Mapping[str, float]) -> None:
        self.delays_ms = delays_ms
        self.passed = 0
        self._due: list[tuple[float, int, str]] = []
        self._asked = set[str]()
        self._limited = set[str]()

    def __bool__(self) -> bool:
        """Whether somebody will pass."""
        return bool(self._due)

    def note_decision(self, decision: Decision) -> None:
        """Note who is limited, and ask who is challenged."""
        if decision.outcome == "limit":
            self._limited.add(decision.account)
        else:
            self._limited.discard(decision.account)
        if decision.outcome == "challenge":
            self._ask(decision.account, decision.ts)

    def note_refusal(self, account: str, ts: int) -> None:
        """Ask, once, whom a limit refuses an act."""
        if account in self._limited and account not in self._asked:
            self._asked.add(account)
            self._ask(account, ts)

    def _ask(self, account: str, ts: int) -> None:
        if account in self.delays_ms:
            heapq.heappush(self._due, (ts + self.delays_ms[account], len(self._due), account))

    def pass_until(self, end: int, start: int = 0) -> list[dict[str, Any]]:
        """Return rows of the log: challenges passed before `end`, none dated before `start`."""
        rows = []
        while self._due and self._due[0][0] < end:
            passed_at_ms, _, account = heapq.heappop(self._due)
            self._asked.discard(account)
            self.passed += 1
            rows.append({"id": f"pass-{self.passed}", "ts": int(max(passed_at_ms, start)),
                         "type": PASSED,
                         "account": account, "kind": CHALLENGES.index("code")})  # fmt: skip
        return rows


class CausalReplay:
    """One replay of a log through an engine, with the refused events and their consequences.

    Args:
        log: Events in order of time (LOG_SCHEMA).
        labels: The label of each account; an account without one is benign.
        engine: Decides and enforces.
        persistent: Labels of the senders that repeat a message after a brief limit.
        behaviour: Assumptions about account holders and recipients.
        actors: Accounts whose acts depend on decisions. The log needs all columns then.
    """

    def __init__(
        self,
        log: pa.Table,
        labels: Mapping[str, str],
        engine: Engine,
        persistent: Collection[str] = ("benign", "abusive"),
        behaviour: Behaviour | None = None,
        actors: Actors | None = None,
    ) -> None:
        # In one piece, without empty columns: each look-up in the table copies what it takes.
        present = [
            c for c in log.column_names
            if actors or c in ADDED or log.column(c).null_count < len(log)
        ]  # fmt: skip
        self.engine, self.labels, self.actors = engine, labels, actors
        self.behaviour = behaviour or Behaviour()
        self.log = log.select(present).combine_chunks()
        self.ts: Ints = log.column("ts").to_numpy()
        self.types: Ints = log.column("type").to_numpy().astype(np.int64)
        self._index_pairs()
        self.persists = np.array(
            [labels.get(name, "benign") in persistent for name in self.names], np.bool_
        )
        rng = random.Random(5)
        self.challenges = Challenges(
            {
                account: 1000 * rng.lognormvariate(self.behaviour.pass_log_s, 1)
                for account, label in labels.items()
                if rng.random() < self.behaviour.pass_shares[label]
            }
        )
        self.gone, self.refused = np.zeros(len(log), np.bool_), np.zeros(len(log), np.bool_)
        self.decisions = list[Decision]()
        self.waits = dict[str, int]()
        self.again = list[tuple[int, int, int]]()
        self.next: Ints = np.zeros(0, np.int64)
        self.held, self.release = dict[int, int](), dict[int, int]()
        self.following = defaultdict[int, list[int]](list)
        self.tries = Counter[int]()
        self.delayed = dict[Pair, int]()
        self.quiet, self.unseen = set[Pair](), set[Pair]()
        self.wait_ms = dict[Pair, int]()
        self.requests_until = dict[int, int]()
        self.reactions = list[tuple[int, int, int]]()
        self.rng = random.Random(6)
        self.extra = list[tuple[pa.Table, pa.Table | list[dict[str, Any]]]]()
        self.extra_count = 0
        self.played = list[tuple[Ints, Ints, dict[int, str]]]()

    def _index_pairs(self) -> None:
        size = len(self.log)
        columns = [self.log.column(name).cast(pa.string()) for name in ("account", "peer")]
        codes = pa.chunked_array([c for column in columns for c in column.chunks], pa.string())
        coded = codes.combine_chunks().dictionary_encode()
        self.names: list[str] = coded.dictionary.to_pylist()
        self.numbers = {name: number for number, name in enumerate(self.names)}
        numbers = coded.indices.fill_null(-1).to_numpy().astype(np.int64)
        self.account, self.peer = numbers[:size], numbers[size:]
        low, high = np.minimum(self.account, self.peer), np.maximum(self.account, self.peer)
        keys, numbered = np.unique(np.where(low < 0, -1, low << 32 | high), return_inverse=True)
        self.pair = np.where(low < 0, -1, numbered)
        opening = np.isin(self.types, [*OPENING])
        opener = _first_rows(self.pair, opening | (self.types == TYPING), len(keys), size)
        self.opener = np.where(opener < size, self.account[np.minimum(opener, size - 1)], -1)
        is_own_opening = opening & (self.account == self.opener[self.pair])
        self.opened = _first_rows(self.pair, is_own_opening, len(keys), size)
        self.state = np.full(len(keys), NEW, np.int8)
        self.answered = np.zeros(len(keys), np.bool_)
        answering = np.isin(self.types, [*ANSWERING]) & (self.peer >= 0)
        self.written = set((self.account[answering] << 32 | self.peer[answering]).tolist())
        self.opening, self.opens = opening, opening | (self.types == TYPING)
        self.of = np.full(size, -1)
        if "message" in self.log.column_names:
            ids, messages = (self.log.column(name).cast(pa.string()) for name in ("id", "message"))
            self.of = pc.index_in(messages, ids, skip_nulls=True).fill_null(-1).to_numpy()
        self.judged = np.zeros(len(self.names), np.bool_)

    def run(
        self,
        progress: Callable[[float], None] = lambda _: None,
        *,
        begin_ms: int = 0,
        end_ms: int | None = None,
    ) -> None:
        """Give the log to the engine: the slices that begin in a span (None: to its end).

        Args:
            progress: Called with the share of the log that is done.
            begin_ms: The span's beginning.
            end_ms: Its end.
        """
        edges = np.arange(self.ts[0], self.ts[-1] + 2 * SLICE_MS, SLICE_MS)
        cuts = np.searchsorted(self.ts, edges)
        for number, (low, high) in enumerate(pairwise(cuts.tolist())):
            begin, end = int(edges[number]), int(edges[number + 1])
            if begin_ms <= begin and (end_ms is None or begin < end_ms):
                self._slice(low, high, begin, end)
                progress((number + 1) / (len(cuts) - 1))
        for decision in self.engine.finish() if end_ms is None else ():
            self.note_decision(decision)

    def _slice(self, low: int, high: int, start: int, end: int) -> None:
        rows = np.arange(low, high)
        keep, pending = self._happening(rows, low)
        self.gone[rows[~keep]] = True
        late = self._late(start, end)
        rows = np.concatenate([rows[keep], self.next, np.array([r for _, r in late], np.int64)])
        times = self.ts[rows]
        times[keep.sum() :] = [*np.full(len(self.next), start), *(ts for ts, _ in late)]
        self.gone[self.next], self.next = False, np.zeros(0, np.int64)
        first_extra, extra_first = len(self.extra), len(self.log) + self.extra_count
        acts = self.actors.act(start, end) if self.actors else None
        if acts is not None:
            self._add_extra(*acts)
        if reactions := [*self.challenges.pass_until(end, start), *self._reacted(start, end)]:
            self._add_extra(pa.Table.from_pylist(reactions, schema=self.log.schema), reactions)
        extra = [table for table, _ in self.extra[first_extra:]]
        if not len(rows) and not extra:
            return
        barred, rows, times = self._advance(
            rows, times, {r: self._again(r) for _, r in late}, extra, extra_first
        )
        logged = rows < len(self.log)
        if self.actors and acts is not None:
            is_refused = np.zeros(len(acts[0]), np.bool_)
            places = rows - extra_first
            is_act = (places >= 0) & (places < len(is_refused))
            is_refused[places[is_act]] = barred[is_act]
            self.actors.respond(is_refused, end)
        self._refuse(rows[barred & logged])
        arrived = ~barred & logged
        self._note_arrivals(rows[arrived], times[arrived], end)
        self._settle(pending, end)

    def _happening(self, rows: Ints, low: int) -> tuple[Bools, Ints]:
        pair, message_row = self.pair[rows], self.of[rows]
        state = np.where(pair >= 0, self.state[pair], MET)
        is_own = (self.account[rows] == self.opener[pair]) & self.opens[rows]
        chats = self.opened[pair]
        pending = (state == NEW) & ~is_own & (rows > chats) & (chats >= low)
        pending |= (state <= MET) & (message_row >= low) & self.judged[self.account[message_row]]
        stuck = state >= REFUSED
        keep = ~(pending | stuck | self._lost(rows))
        # Of what was refused, only what its sender does and answers matter in their order.
        matters = (
            (self.account[rows] == self.opener[pair])
            | np.isin(self.types[rows], [*ANSWERING])
            | (state == DELAYED)
        )
        for place in np.flatnonzero(stuck & matters).tolist():
            keep[place] = self._happens(int(rows[place]))
        return keep, rows[pending]

    def _happens(self, row: int) -> bool:
        pair = self.pair[row]
        if self.state[pair] == DELAYED:
            # It waits as well: what the chat's first message has not reached is not there yet.
            self.following[pair].append(row)
            return False
        if self.account[row] == self.opener[pair]:
            return bool(self.opens[row] and not self.answered[pair])
        # The log knows that this one would have answered: what follows would not be.
        self.answered[pair] |= int(self.types[row]) in ANSWERING
        return False

    def _settle(self, pending: Ints, end: int) -> None:
        pending = pending[~self._lost(pending)]
        state = np.where(self.pair[pending] >= 0, self.state[self.pair[pending]], MET)
        self.next = pending[state <= MET]
        for row in pending[state > MET].tolist():
            self._happens(row)

    def _lost(self, rows: Ints) -> Bools:
        message_row = self.of[rows]
        # What waits with the message that it is of comes after it.
        waits = self.state[self.pair[rows]] == DELAYED
        is_lost: Bools = (
            (message_row >= 0) & (self.refused[message_row] | self.gone[message_row]) & ~waits
        )
        return is_lost

    def _note_arrivals(self, rows: Ints, times: Ints, end: int) -> None:
        pair = self.pair[rows]
        news = self.opening[rows] & (pair >= 0) & (self.state[pair] != MET)
        asks = np.isin(self.account[rows], [*self.requests_until])
        singly = news & (asks | (self.state[pair] == DELAYED))
        is_own = self.account[rows] == self.opener[pair]
        self.state[pair[news & ~singly & ~(is_own & (self.state[pair] == UNSEEN))]] = MET
        for row, ts in zip(rows[singly].tolist(), times[singly].tolist(), strict=True):
            self._note_arrival(row, ts, end)

    def _note_arrival(self, row: int, ts: int, end: int) -> None:
        pair = int(self.pair[row])
        if self.account[row] != self.opener[pair]:
            self.state[pair] = MET
        elif self.state[pair] not in (MET, UNSEEN):
            if self.state[pair] == DELAYED:
                self.wait_ms[self._pair(row)] = ts - int(self.ts[row])
            self.state[pair] = self._arrive(row)
        following = self.following.pop(pair, [])
        for number, row_after in enumerate(following if self.state[pair] == MET else (), 1):
            self._send_at(max(self.release[pair] + MINUTE_MS * number, end), row_after)

    def _arrive(self, row: int) -> int:
        account, peer = int(self.account[row]), int(self.peer[row])
        sent_at = self.release.get(int(self.pair[row]), int(self.ts[row]))
        if self.requests_until.get(account, 0) <= sent_at:
            return MET
        self.quiet.add(self._pair(row))
        if self.rng.random() >= self.behaviour.looked_at:
            self.unseen.add(self._pair(row))
            return UNSEEN
        draw = self.rng.random()
        label = self.labels.get(self.names[account], "benign")
        declines, reports = self.behaviour.reactions[label]
        if (peer << 32 | account) not in self.written and draw < declines + reports:
            wait_s = self.rng.lognormvariate(self.behaviour.reaction_log_s, 1)
            reacts_at_ms = int(self.ts[row]) + int(1000 * wait_s)
            kind = DECLINED if draw < declines else REPORTED
            heapq.heappush(self.reactions, (reacts_at_ms, row, kind))
        return MET

    def _reacted(self, start: int, end: int) -> list[dict[str, Any]]:
        """Return rows of the log: who declines or reports a request before `end`.

        Both are the first word of their enumeration: "stranger", and "spam".
        """
        rows = list[dict[str, Any]]()
        while self.reactions and self.reactions[0][0] < end:
            reacts_at_ms, row, kind = heapq.heappop(self.reactions)
            sender, recipient = self.names[self.account[row]], self.names[self.peer[row]]
            rows.append({"id": f"{self._id(row)}-reaction", "ts": max(reacts_at_ms, start),
                         "type": kind, "account": recipient, "peer": sender,
                         "reason": 0})  # fmt: skip
        return rows

    def _advance(
        self, rows: Ints, times: Ints, ids: dict[int, str], extra: list[pa.Table], first: int
    ) -> tuple[Bools, Ints, Ints]:
        """Give events to the engine; return the refused ones, and the events in order of time.

        Args:
            rows: Rows of the log.
            times: Their times.
            ids: New names of events that are sent again.
            extra: Further events.
            first: The row of the first further event; rows of these count from the log's end.
        """
        times = np.concatenate([times, *(table.column("ts").to_numpy() for table in extra)])
        row_numbers = np.concatenate([rows, np.arange(first, first + len(times) - len(rows))])
        order = np.argsort(times, kind="stable")
        if extra:
            table = pa.concat_tables([self.log.take(pa.array(rows)), *extra]).take(pa.array(order))
        else:
            table = self.log.take(pa.array(rows[order]))
        rows, times = row_numbers[order], times[order]
        repeated = np.flatnonzero(np.isin(rows, [*ids])) if ids else rows[:0]
        names = dict(
            zip(repeated.tolist(), [ids[row] for row in rows[repeated].tolist()], strict=True)
        )
        table = _renamed(table, times, names)
        self.played.append((rows, times, names))
        barred, first_row = np.zeros(len(rows), np.bool_), 0
        for batch in table.combine_chunks().to_batches():
            for segment in self.engine.fanout.segments(batch):
                for decision in self.engine.advance(segment):
                    self.note_decision(decision)
                end_row = first_row + len(segment.results)
                barred[first_row:end_row] = segment.results & BARRED != 0
                first_row = end_row
        return barred, rows, times

    def _add_extra(self, log: pa.Table, wire: pa.Table | list[dict[str, Any]]) -> None:
        self.extra.append((log, wire))
        self.extra_count += len(log)

    def _send_at(self, ts: int, row: int) -> None:
        heapq.heappush(self.again, (max(ts, int(self.ts[row])), len(self.again), row))

    def _late(self, start: int, end: int) -> list[tuple[int, int]]:
        late = []
        while self.again and self.again[0][0] < end:
            ts, _, row = heapq.heappop(self.again)
            late.append((max(ts, start), row))
            self.gone[row] = self.refused[row] = False
        return late

    def _again(self, row: int) -> str:
        self.tries[row] += 1
        return f"{self._id(row)}-late{self.tries[row]}"

    def _id(self, row: int) -> str:
        return str(self.log.column("id")[row].as_py())

    def _pair(self, row: int) -> Pair:
        first, second = sorted((self.names[self.account[row]], self.names[self.peer[row]]))
        return first, second

    def _refuse(self, rows: Ints) -> None:
        self.refused[rows] = True
        pair, account = self.pair[rows], self.account[rows]
        state = np.where(pair >= 0, self.state[pair], MET)
        is_own = (state != MET) & (self.opener[pair] == account)
        singly = is_own & self.persists[account] & np.isin(state, (NEW, DELAYED))
        self.state[pair[is_own & ~singly]] = REFUSED
        for row in rows[singly].tolist():
            self._hold(row)
        senders, firsts = np.unique(account, return_index=True)
        for sender, first in zip(senders.tolist(), self.ts[rows[firsts]].tolist(), strict=True):
            self.challenges.note_refusal(self.names[sender], first)

    def _hold(self, row: int) -> None:
        pair, sent_at = int(self.pair[row]), int(self.ts[row])
        limit_end_ms = self.waits.get(self.names[self.account[row]], 0)
        if self.held.get(pair, row) != row and self.state[pair] == DELAYED:
            self.following[pair].append(row)
        elif limit_end_ms - sent_at <= HELD_MS and limit_end_ms > self.release.get(pair, sent_at):
            self.state[pair], self.held[pair] = DELAYED, row
            self.delayed[self._pair(row)] = pair
            self.release[pair] = limit_end_ms + 1_000 * (1 + len(self.again) % 60)
            self._send_at(self.release[pair], row)
        else:
            self.state[pair] = REFUSED

    def note_decision(self, decision: Decision) -> None:
        """Note a decision: its account waits, or is asked, from then on."""
        self.decisions.append(decision)
        brief = decision.until is not None and decision.until - decision.ts <= DELAY_MS
        if decision.outcome == "limit" and brief:
            self.waits[decision.account] = int(decision.until or 0)
        else:
            self.waits.pop(decision.account, None)
        if (number := self.numbers.get(decision.account)) is not None:
            self.judged[number] = decision.outcome != "allow"
            if decision.outcome == "request":
                self.requests_until[number] = decision.until or TS_END
            else:
                self.requests_until.pop(number, None)
        if not (self.actors and self.actors.take_decision(decision)):
            self.challenges.note_decision(decision)

    def waits_still(self, pair: Pair) -> bool:
        """Whether the first message of a pair was delayed, and waits yet."""
        return pair in self.delayed and bool(self.state[self.delayed[pair]] == DELAYED)

    def held_back(self, label: str, kinds: Collection[str]) -> tuple[list[int], int]:
        """Return how long refused first messages waited that arrived, and how many never did.

        Args:
            label: Of their senders.
            kinds: Types of events that open a chat.
        """
        chats = np.minimum(self.opened, len(self.log) - 1)
        is_selected = np.isin(self.types[chats], [TYPES.index(kind) for kind in kinds])
        is_selected &= [
            self.labels.get(self.names[n], "benign") == label for n in self.opener.tolist()
        ]
        waits_ms = [ms for pair, ms in self.wait_ms.items() if is_selected[self.delayed[pair]]]
        return waits_ms, int((is_selected & np.isin(self.state, (REFUSED, DELAYED))).sum())

    def first_contacts(
        self, since_ms: int = 0, until_ms: int = TS_END
    ) -> list[tuple[str, str, bool]]:
        """Return sender, recipient and whether it was stopped, of each first contact of a span.

        A contact counts as stopped too if the event that led to it was refused.
        """
        is_own = self.account == self.opener[self.pair]
        rows = np.flatnonzero(self.opening & (self.pair >= 0) & (is_own | ~self.gone))
        rows = rows[np.sort(np.unique(self.pair[rows], return_index=True)[1])]
        rows = rows[(self.ts[rows] >= since_ms) & (self.ts[rows] < until_ms)]
        stopped = self.refused[rows] | self.gone[rows]
        return [
            (self.names[self.account[row]], self.names[self.peer[row]], bool(is_stopped))
            for row, is_stopped in zip(rows.tolist(), stopped.tolist(), strict=True)
        ]

    def events(self, wire: pa.Table) -> pa.Table:
        """Return the events that happened, with the refused attempts, in order of time.

        Args:
            wire: The same rows as the log, before the privacy edge (WIRE_SCHEMA).
        """
        tables = [
            pa.Table.from_pylist([_wire_row(row) for row in events], schema=wire.schema)
            if isinstance(events, list)
            else events
            for _, events in self.extra
        ]
        return self._in_order(pa.concat_tables([wire, *tables]))

    def log_events(self) -> pa.Table:
        """Return the same events as the engine got them (LOG_SCHEMA)."""
        return self._in_order(pa.concat_tables([self.log, *(table for table, _ in self.extra)]))

    def _in_order(self, events: pa.Table) -> pa.Table:
        names, size = dict[int, str](), 0
        for rows, _, ids in self.played:
            names |= {size + place: name for place, name in ids.items()}
            size += len(rows)
        order = np.concatenate([rows for rows, _, _ in self.played])
        times = np.concatenate([times for _, times, _ in self.played])
        return _renamed(events.combine_chunks().take(pa.array(order)), times, names)


def _wire_row(row: dict[str, Any]) -> dict[str, Any]:
    kind = TYPES[row["type"]]
    return (
        row
        | {"type": kind}
        | ({"reason": REASONS[kind][0]} if "reason" in row else {})
        | ({"kind": CHALLENGES[row["kind"]]} if "kind" in row else {})
    )


def _first_rows(pair: Ints, is_selected: Bools, pairs: int, size: int) -> Ints:
    first = np.full(pairs, size, np.int64)
    rows = np.flatnonzero(is_selected & (pair >= 0))
    np.minimum.at(first, pair[rows], rows)
    return first


def _renamed(table: pa.Table, times: Ints, names: Mapping[int, str]) -> pa.Table:
    columns = {"ts": pa.array(times)}
    if names:
        is_renamed = np.zeros(len(table), np.bool_)
        is_renamed[[*names]] = True
        ids = table.column("id").combine_chunks().cast(pa.string())
        columns["id"] = pc.replace_with_mask(ids, pa.array(is_renamed), pa.array([*names.values()]))
    for name, values in columns.items():
        field = table.schema.field(name)
        table = table.set_column(table.schema.get_field_index(name), field, values.cast(field.type))
    return table
