"""What people feel of a policy, and what it stops: one line for each world and policy.

    python -m experiments.worlds.headline WORLD... [--policy DIR ...] [--model NAME] [--json FILE]

A world is a directory with events.jsonl and labels.csv (account, label, family, operator). The
engine enforces, and the replay is causal: in a chat whose first message was refused, nothing of the
other happens (no answer, block or report), and of the sender only what opens a chat again. Of
honest holders 92 in a hundred pass a challenge, of abusive ones 60, after a time of log-normal
length (median 15 minutes), drawn by a fixed seed. Senders do not adapt.

A limit that ends within the hour delays: what it refuses is sent again when it ends, a second
apart (again if it is refused again, for a day at most), and what the other would have done in that
chat meanwhile happens after it, a minute apart.

What the outcome request lets through arrives as a request: half of these are looked at, by a fixed
seed. In the chat of one that is not, nothing of the other happens. Of those looked at whose sender
the world's log does not answer, some are declined ("I don't know this person") or reported, of
abusive senders more than of honest ones.

A first contact is the first message to somebody, request for contact or addition to a group of a
pair that has not met; what abusive accounts send to each other counts nowhere.

- refused: of honest first contacts, those that never arrived, with a 95 % interval (independent
  contacts: too narrow, since those of one person are not), and of the worst persona with at
  least 30.
- delayed: of honest first contacts, those that arrived later.
- quiet: of honest first contacts, those that arrived as requests; unseen, those not looked at.
- stopped: of abusive first contacts, refused, never sent, or requests that nobody looked at;
  families equal, those with 30 or more.
- shadow: abusive accounts whom the same policy restricts when nothing is refused.
"""

from __future__ import annotations

import heapq
import random
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from experiments.worlds.replay import (
    Challenges,
    options_of,
    read_labels,
    read_log,
    write_results,
)
from wavebreak.engine import Engine
from wavebreak.engine.decision import Decision
from wavebreak.evaluation.intervals import exact_interval
from wavebreak.features.layout import BARRED
from wavebreak.model.storage import load_selected
from wavebreak.outcomes import REFUSING, SILENCING
from wavebreak.rules import Policy, load_policy
from wavebreak.schema import coverage
from wavebreak.schema.events import TS_END, TYPES

SLICE_MS = 480_000
"""The log is given to the engine in slices of eight minutes, so that a refusal takes effect."""
PASSES = {"benign": 0.92, "abusive": 0.6}
LEAST = 30
"""First contacts of a persona or family whose share is stated alone."""
OPENING = {
    TYPES.index(t)
    for t in ("message.sent", "contact.requested", "group.member_added", "call.started")
}
TYPING = TYPES.index("typing.started")
COMPLAINING = {TYPES.index(t) for t in ("user.blocked", "user.reported")}
ANSWERING = {TYPES.index(t) for t in ("message.sent", "contact.accepted")}
DECLINED, REPORTED = TYPES.index("contact.refused"), TYPES.index("user.reported")
MET, REFUSED, DELAYED, UNSEEN = 1, 2, 3, 4
LOOKED_AT = 0.5
"""Share of requests that are looked at."""
REACTS = {"benign": (0.1, 0.002), "abusive": (0.3, 0.05)}
"""Of those whose sender is not answered, by the sender's label: who declines, who reports."""
MINUTE_MS = 60_000
DELAY_MS = 3_600_000
"""A limit that ends so soon delays; a longer one refuses."""
HELD_MS = 86_400_000
"""What is held again and again for longer than this counts as refused."""


@dataclass
class World:
    """A world's log, and for each account its label, family and operator."""

    name: str
    log: pa.Table
    labels: dict[str, tuple[str, str, str]]


@dataclass
class Headline:
    """What one replay did; shares of first contacts."""

    world: str
    policy: str
    model: str | None
    events: int
    benign: int = 0
    abusive: int = 0
    met: int = 0
    restricted: int = 0
    banned: int = 0
    abusive_restricted: int = 0
    abusive_banned: int = 0
    shadow_restricted: int | None = None
    honest: int = 0
    refused: int = 0
    delayed: int = 0
    quiet: int = 0
    unseen: int = 0
    conviction_hours: float | None = None
    unwanted: int = 0
    stopped: int = 0
    families_equal: float = 0.0
    personas: dict[str, tuple[int, int]] = field(default_factory=dict)
    families: dict[str, tuple[int, int]] = field(default_factory=dict)
    operator_accounts: int = 0
    operator_accounts_found: int = 0
    components: int = 0
    components_mixed: int = 0
    rules: dict[str, tuple[int, int]] = field(default_factory=dict)
    decisions: dict[str, int] = field(default_factory=dict)

    def percent_honest(self, count: int) -> float:
        """Return a number of first contacts of honest people as a percentage of theirs."""
        return 100 * count / max(self.honest, 1)

    @property
    def percent_stopped(self) -> float:
        """Abusive first contacts that were stopped, as a percentage."""
        return 100 * self.stopped / max(self.unwanted, 1)


def load_world(directory: Path) -> World:
    """Read a world.

    Args:
        directory: Holds events.jsonl and labels.csv.

    """
    labels = {
        r["account"]: (r["label"], r["family"], r["operator"]) for r in read_labels(directory)
    }
    return World(f"{directory.parent.name}/{directory.name}", read_log(directory), labels)


class CausalReplay:
    """One replay of a world through an engine: what was refused, and what therefore never was."""

    def __init__(self, world: World, engine: Engine) -> None:
        self.engine, self.log = engine, world.log
        columns = ("id", "account", "peer", "type")
        self.ids, self.accounts, self.peers, self.types = (
            world.log.column(name).to_pylist() for name in columns
        )
        self.ts = world.log.column("ts").to_numpy()
        self.row = {event: row for row, event in enumerate(self.ids)}
        rng = random.Random(5)
        delays_ms = {
            account: 1000 * rng.lognormvariate(6.8, 1)
            for account, (label, *_) in world.labels.items()
            if rng.random() < PASSES[label]
        }
        self.challenges = Challenges(delays_ms, world.log.schema)
        self.opener = dict[tuple[str, str], str]()
        self.state = dict[tuple[str, str], int]()
        self.answered = set[tuple[str, str]]()
        self.gone, self.refused = set[int](), set[int]()
        self.decisions = list[Decision]()
        self.waits = dict[str, int]()
        self.again = list[tuple[int, int, int]]()
        self.release = dict[tuple[str, str], int]()
        self.following = defaultdict[tuple[str, str], list[int]](list)
        self.tries = Counter[int]()
        self.delayed = set[tuple[str, str]]()
        self.labels = {account: label for account, (label, *_) in world.labels.items()}
        self.requests_until = dict[str, int]()
        self.quiet, self.unseen = set[tuple[str, str]](), set[tuple[str, str]]()
        self.reactions = list[tuple[int, int, str, str, int]]()
        self.rng = random.Random(6)
        self.written = {
            (account, peer)
            for account, peer, kind in zip(self.accounts, self.peers, self.types, strict=True)
            if kind in ANSWERING
        }

    def run(
        self,
        progress: Progress | None = None,
        title: str = "",
        *,
        begin_ms: int = 0,
        end_ms: int | None = None,
    ) -> None:
        """Give the log to the engine: the slices that begin in a span (None: to its end)."""
        edges = np.arange(self.ts[0], self.ts[-1] + 2 * SLICE_MS, SLICE_MS)
        cuts = np.searchsorted(self.ts, edges)
        task = progress.add_task(title, total=len(cuts) - 1) if progress else None
        for number, (low, high) in enumerate(pairwise(cuts.tolist())):
            begin, end = int(edges[number]), int(edges[number + 1])
            if begin_ms <= begin and (end_ms is None or begin < end_ms):
                self._slice(low, high, begin, end)
            if progress and task is not None:
                progress.advance(task)
        for decision in self.engine.finish() if end_ms is None else ():
            self._note(decision)

    def _slice(self, low: int, high: int, start: int, end: int) -> None:
        keep = [row for row in range(low, high) if self._happens(row)]
        if len(keep) != high - low:
            self.gone |= set(range(low, high)).difference(keep)
        rows = self.log.take(pa.array(keep, pa.int64()))
        late = self._late(end)
        if late:
            rows = pa.concat_tables([rows, self._sent_again(late)]).sort_by("ts")
            keep += [row for _, _, row in late]
        made = (self.challenges.pass_until(end, start), self._reacted(start, end))
        more = [table for table in made if table is not None]
        if more:
            rows = pa.concat_tables([rows, *more]).sort_by("ts")
        if not rows.num_rows:
            return
        barred = self._advance(rows)
        for row in sorted(barred):
            self._refuse(row)
        for row in keep:
            if row not in barred and self.types[row] in OPENING and self.peers[row] is not None:
                self._note_arrival(row, end)

    def _note_arrival(self, row: int, end: int) -> None:
        """Note that what may open a chat arrived; what waited for it in that chat follows."""
        pair = self._pair(row)
        if self.opener[pair] != self.accounts[row]:
            self.state[pair] = MET
        elif self.state.get(pair) not in (MET, UNSEEN):
            self.state[pair] = self._arrive(row)
        following = self.following.pop(pair, [])
        for number, later in enumerate(following if self.state[pair] == MET else (), 1):
            self._send_at(max(self.release[pair] + MINUTE_MS * number, end), later)

    def _arrive(self, row: int) -> int:
        """Return the state of a chat whose first contact arrived: a request may stay unseen."""
        account, peer, pair = self.accounts[row], self.peers[row], self._pair(row)
        if self.requests_until.get(account, 0) <= self.release.get(pair, int(self.ts[row])):
            return MET
        self.quiet.add(pair)
        if self.rng.random() >= LOOKED_AT:
            self.unseen.add(pair)
            return UNSEEN
        draw = self.rng.random()
        declines, reports = REACTS[self.labels.get(account, "benign")]
        if (peer, account) not in self.written and draw < declines + reports:
            at = int(self.ts[row]) + int(1000 * self.rng.lognormvariate(8.2, 1))
            kind = DECLINED if draw < declines else REPORTED
            heapq.heappush(self.reactions, (at, row, peer, account, kind))
        return MET

    def _reacted(self, start: int, end: int) -> pa.Table | None:
        """Return who declines or reports a request before `end` (None: nobody).

        Both are the first word of their enumeration: "stranger", and "spam".
        """
        rows = list[dict[str, object]]()
        while self.reactions and self.reactions[0][0] < end:
            at, row, account, peer, kind = heapq.heappop(self.reactions)
            rows.append({"id": f"{self.ids[row]}-reaction", "ts": max(at, start), "type": kind,
                         "account": account, "peer": peer, "reason": 0})  # fmt: skip
        return pa.Table.from_pylist(rows, schema=self.log.schema) if rows else None

    def _advance(self, rows: pa.Table) -> set[int]:
        """Give rows to the engine; return those of the log that it refused."""
        barred = set[int]()
        for batch in rows.combine_chunks().to_batches():
            for segment in self.engine.fanout.segments(batch):
                for decision in self.engine.advance(segment):
                    self._note(decision)
                for at in np.flatnonzero(segment.results & BARRED).tolist():
                    if (row := self.row.get(str(segment.ids[at]))) is not None:
                        barred.add(row)
        return barred

    def _send_at(self, when: int, row: int) -> None:
        heapq.heappush(self.again, (max(when, int(self.ts[row])), len(self.again), row))

    def _late(self, end: int) -> list[tuple[int, int, int]]:
        late = []
        while self.again and self.again[0][0] < end:
            late.append(heapq.heappop(self.again))
        for _, _, row in late:
            self.gone.discard(row)
            self.refused.discard(row)
        return late

    def _sent_again(self, late: list[tuple[int, int, int]]) -> pa.Table:
        rows = self.log.take(pa.array([row for _, _, row in late], pa.int64()))
        self.tries.update(row for _, _, row in late)
        names = pa.array(
            [f"{self.ids[row]}-late{self.tries[row]}" for _, _, row in late], pa.string()
        )
        for (_, _, row), name in zip(late, names.to_pylist(), strict=True):
            self.row[name] = row
        at = self.log.schema.get_field_index("id"), self.log.schema.get_field_index("ts")
        rows = rows.set_column(
            at[0], self.log.schema.field(at[0]), names.cast(rows.schema.field(at[0]).type)
        )
        times = pa.array([when for when, _, _ in late], pa.int64())
        return rows.set_column(at[1], self.log.schema.field(at[1]), times)

    def _pair(self, row: int) -> tuple[str, str]:
        first, second = sorted((self.accounts[row], self.peers[row]))
        return first, second

    def _happens(self, row: int) -> bool:
        """Whether an event still happens, after what was refused before."""
        if self.peers[row] is None:
            return True
        pair, kind, account = self._pair(row), self.types[row], self.accounts[row]
        opens = kind in OPENING or kind == TYPING
        opener = self.opener.get(pair)
        if opener is None:
            if opens:
                self.opener[pair] = account
            return True
        if self.state.get(pair) == DELAYED:
            # It waits as well: what the chat's first message has not reached is not there yet.
            self.following[pair].append(row)
            return False
        if self.state.get(pair) not in (REFUSED, UNSEEN):
            return True
        if account == opener:
            return pair not in self.answered and opens
        if kind in ANSWERING:
            # The static log knows that this one would have answered: what follows would not be.
            self.answered.add(pair)
        return False

    def _refuse(self, row: int) -> None:
        self.refused.add(row)
        account = self.accounts[row]
        if self.peers[row] is not None:
            pair = self._pair(row)
            if self.state.get(pair) != MET and self.opener.get(pair) == account:
                until = self.waits.get(account, 0)
                sent = self.release.get(pair, int(self.ts[row]))
                waits = self.state.get(pair) in (None, DELAYED) and until - self.ts[row] <= HELD_MS
                if until > sent and waits:
                    self.state[pair] = DELAYED
                    self.delayed.add(pair)
                    self.release[pair] = until + 1_000 * (1 + len(self.again) % 60)
                    self._send_at(self.release[pair], row)
                else:
                    self.state[pair] = REFUSED
        self.challenges.note_refusal(account, int(self.ts[row]))

    def _note(self, decision: Decision) -> None:
        self.decisions.append(decision)
        brief = decision.until is not None and decision.until - decision.ts <= DELAY_MS
        if decision.outcome == "limit" and brief:
            self.waits[decision.account] = int(decision.until or 0)
        else:
            self.waits.pop(decision.account, None)
        if decision.outcome == "request":
            self.requests_until[decision.account] = decision.until or TS_END
        else:
            self.requests_until.pop(decision.account, None)
        self.challenges.note_decision(decision)

    def first_contacts(self, since_ms: int = 0) -> list[tuple[str, str, bool]]:
        """Return sender, recipient and whether it was stopped, of each first contact since a time.

        A contact that never was, since what led to it was refused, is stopped.
        """
        seen, contacts = set[tuple[str, str]](), []
        for row, kind in enumerate(self.types):
            if kind not in OPENING or self.peers[row] is None:
                continue
            if row in self.gone and self.opener.get(self._pair(row)) != self.accounts[row]:
                continue
            pair = self._pair(row)
            if pair in seen:
                continue
            seen.add(pair)
            stopped = row in self.refused or row in self.gone
            if self.ts[row] >= since_ms:
                contacts.append((self.accounts[row], self.peers[row], stopped))
        return contacts


def measure(replay: CausalReplay, world: World, since_ms: int = 0) -> Headline:
    """Count what a replay did; of first contacts, to those since a time."""
    engine = replay.engine
    model = engine.model.version if engine.model else None
    result = Headline(world.name, engine.policy.version, model, world.log.num_rows)
    outcomes = defaultdict[str, set[str]](set)
    by_rule = defaultdict[str, dict[str, set[str]]](lambda: {"benign": set(), "abusive": set()})
    unknown = ("benign", "unlabelled", "")
    for decision in replay.decisions:
        outcomes[decision.account].add(decision.outcome)
        if decision.outcome in REFUSING:
            label = world.labels.get(decision.account, unknown)[0]
            cause = decision.rules[0] if decision.rules else decision.basis or "score"
            by_rule[f"{decision.outcome} {cause}"][label].add(decision.account)
    for account, (label, _, _) in world.labels.items():
        seen = outcomes[account]
        silenced, banned = bool(seen & set(SILENCING)), "ban" in seen
        if label == "benign":
            result.benign += 1
            result.met += bool(seen & set(REFUSING))
            result.restricted += silenced
            result.banned += banned
        else:
            result.abusive += 1
            result.abusive_restricted += silenced
            result.abusive_banned += banned
    result.rules = {
        rule: (len(met["benign"]), len(met["abusive"])) for rule, met in sorted(by_rule.items())
    }
    result.decisions = dict(Counter(decision.outcome for decision in replay.decisions))
    _count_contacts(replay, world, result, since_ms)
    _count_operators(replay, world, result)
    result.conviction_hours = hours_to_conviction(replay, world)
    return result


def hours_to_conviction(replay: CausalReplay, world: World) -> float | None:
    """Median hours from the first complaint of an abusive account to its restriction."""
    complained = dict[str, int]()
    for row, kind in enumerate(replay.types):
        if kind in COMPLAINING and row not in replay.gone and replay.peers[row] is not None:
            complained.setdefault(replay.peers[row], int(replay.ts[row]))
    restricted = dict[str, int]()
    for decision in replay.decisions:
        if (
            decision.outcome in SILENCING
            and world.labels.get(decision.account, ("",))[0] != "benign"
        ):
            restricted.setdefault(decision.account, decision.ts)
    hours = [
        max(at - complained[account], 0) / 3_600_000
        for account, at in restricted.items()
        if account in complained
    ]
    return float(np.median(hours)) if hours else None


def _count_contacts(
    replay: CausalReplay, world: World, result: Headline, since_ms: int
) -> None:  # fmt: skip
    personas, families = (
        defaultdict[str, Counter[bool]](Counter),
        defaultdict[str, Counter[bool]](Counter),
    )
    unknown = ("benign", "unlabelled", "")
    for sender, recipient, stopped in replay.first_contacts(since_ms):
        label, family, _ = world.labels.get(sender, unknown)
        pair = (min(sender, recipient), max(sender, recipient))
        if label == "benign":
            personas[family][stopped] += 1
            result.delayed += pair in replay.delayed and not stopped
            result.quiet += pair in replay.quiet
            result.unseen += pair in replay.unseen
        elif world.labels.get(recipient, unknown)[0] == "benign":
            families[family][stopped or pair in replay.unseen] += 1
    result.personas = {f: (c[True], c.total()) for f, c in sorted(personas.items())}
    result.families = {f: (c[True], c.total()) for f, c in sorted(families.items())}
    result.refused, result.honest = map(sum, zip(*result.personas.values(), strict=True))
    if result.families:
        result.stopped, result.unwanted = map(sum, zip(*result.families.values(), strict=True))
    shares = [k / n for k, n in result.families.values() if n >= LEAST]
    result.families_equal = sum(shares) / max(len(shares), 1)


def _count_operators(replay: CausalReplay, world: World, result: Headline) -> None:
    of = {a: operator for a, (_, _, operator) in world.labels.items() if operator}
    sizes = Counter(of.values())
    several = {a for a, operator in of.items() if sizes[operator] > 1}
    found = set[str]()
    for operator in replay.engine.operators():
        names = Counter(of.get(a, "") for a in operator.accounts)
        result.components += 1
        result.components_mixed += len(names) > 1
        found |= {a for a in operator.accounts if a in several and names[of[a]] > 1}
    result.operator_accounts, result.operator_accounts_found = len(several), len(found)


def replayed(
    world: World, policy: Policy, model: str | None, *, enforce: bool, progress: Progress,
    title: str,
) -> CausalReplay:  # fmt: skip
    """Replay a world through a policy.

    Args:
        world: The world.
        policy: The policy.
        model: A directory, "none", or None for the shipped one.
        enforce: Whether the engine refuses anything.
        progress: Shows how far it is.
        title: What is shown beside.

    """
    profile = coverage.measure(b for b in world.log.to_batches())
    causal = CausalReplay(
        world, Engine(policy, profile, enforce=enforce, model=load_selected(model))
    )
    causal.run(progress, title)
    return causal


def run(
    world: World, policy: Path | None, model: str | None, *, shadow: bool, progress: Progress
) -> Headline:
    """Replay a world through a policy, enforcing, and if asked also in shadow.

    Args:
        world: The world.
        policy: A local policy beside the shipped one, or None.
        model: A directory, "none", or None for the shipped one.
        shadow: Whether to count whom the policy restricts where nothing is refused.
        progress: Shows how far it is.

    """
    title = f"{world.name} {policy.name if policy else 'shipped'}"
    loaded = load_policy(policy)
    made = replayed(world, loaded, model, enforce=True, progress=progress, title=title)
    result = measure(made, world)
    if shadow:
        quiet = replayed(world, loaded, model, enforce=False, progress=progress, title=title)
        result.shadow_restricted = len({
            d.account for d in quiet.decisions
            if d.outcome in SILENCING and world.labels.get(d.account, ("benign",))[0] == "abusive"
        })  # fmt: skip
    return result


def show(results: list[Headline], console: Console, *, detail: bool) -> None:
    """Print the results as a table, and if asked each persona, family and rule."""
    table = Table()
    for name in ("world", "policy"):
        table.add_column(name, overflow="fold")
    for name in ("refused %", "delayed %", "quiet; unseen %", "worst persona", "met", "restr.",
                 "stopped %", "equal %", "abusers restr.", "shadow", "operators",
                 "mixed"):  # fmt: skip
        table.add_column(name, justify="right", overflow="fold")
    for r in results:
        low, high = exact_interval(r.refused, r.honest)
        worst = max(((k / n, f) for f, (k, n) in r.personas.items() if n >= LEAST), default=(0, ""))
        table.add_row(
            r.world, r.policy.removeprefix("shipped-"),
            f"{r.percent_honest(r.refused):.2f} ({100 * low:.2f}-{100 * high:.2f})",
            f"{r.percent_honest(r.delayed):.2f}",
            f"{r.percent_honest(r.quiet):.2f}; {r.percent_honest(r.unseen):.2f}",
            f"{worst[1]} {100 * worst[0]:.0f}",
            str(r.met), f"{r.restricted}/{r.benign}",
            f"{r.percent_stopped:.1f}", f"{100 * r.families_equal:.1f}",
            f"{r.abusive_restricted}/{r.abusive}",
            "" if r.shadow_restricted is None else str(r.shadow_restricted),
            f"{r.operator_accounts_found}/{r.operator_accounts}",
            f"{r.components_mixed}/{r.components}",
        )  # fmt: skip
    console.print(table)
    for r in results if detail else ():
        console.print(f"{r.world} {r.policy}")
        for title, groups in (("personas", r.personas), ("families", r.families)):
            shares = sorted(((k / n, f, n) for f, (k, n) in groups.items() if n), reverse=True)
            text = ", ".join(f"{f} {100 * share:.0f} % of {n}" for share, f, n in shares)
            console.print(f"  {title}: {text}")
        console.print(f"  rules (benign, abusive): {r.rules}")
        if r.conviction_hours is not None:
            hours = f"{r.conviction_hours:.1f}"
            console.print(f"  median hours from first complaint to restriction: {hours}")


def main(arguments: list[str] | None = None) -> int:
    """Replay the worlds that are named through the policies that are named."""
    parser = options_of("headline", __doc__)
    parser.add_argument(
        "--policy", type=Path, action="append", help="a local policy beside the shipped one"
    )
    parser.add_argument("--shadow", action="store_true", help="also whom it restricts in shadow")
    parser.add_argument("--detail", action="store_true", help="each persona, family and rule")
    chosen = parser.parse_args(arguments)
    console, results = Console(width=150), []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        for directory in chosen.world:
            world = load_world(directory)
            for policy in chosen.policy or [None]:
                results.append(
                    run(world, policy, chosen.model, shadow=chosen.shadow, progress=progress)
                )
    show(results, console, detail=chosen.detail)
    write_results(chosen.json, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
