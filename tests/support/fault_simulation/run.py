"""Runs of the simulated service: steps drawn from a seed, and the invariants that must hold."""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from support.fault_simulation.machine import (
    NOON_MS,
    WEBHOOK,
    Machine,
    Reply,
    counted,
    decided,
)
from wavebreak.errors import WavebreakError
from wavebreak.ledger import read_entry
from wavebreak.ledger.audit import audit_directory
from wavebreak.ledger.entries import DecisionEntry, LabelEntry, ReceiptEntry
from wavebreak.ledger.verifier import read_lines
from wavebreak.outcomes import OUTCOMES
from wavebreak_server.pipeline.decide import enforcement_state
from wavebreak_server.pipeline.pending_requests import Accepted
from wavebreak_server.pipeline.request_decoder import Body
from wavebreak_server.storage.ledger_store import OpeningRows, export_ledger

ACCOUNTS, SENDS = 3, 60
MOST_TURNS = 60


@dataclass(frozen=True)
class Odds:
    """What a seed draws for its whole run.

    Attributes:
        faults: The share of the disk's writes and syncs that fail.
        loss: The share of requests, answers and deliveries that the network loses.
        power: The share of process deaths in which the machine loses power.
        kills: The weight of a process death among the steps.
        steps: How many steps there are.
        upkeep: The weight of each act of an operator's among the steps: another server takes over,
            the ledger's key is rotated, a backup is written, or restored, another policy decides.
    """

    faults: float
    loss: float
    power: float
    kills: int
    steps: int
    upkeep: int = 0

    @classmethod
    def draw(cls, random: Random, upkeep: int = 0) -> Odds:
        """Draw the odds of a run."""
        return cls(
            faults=random.choice((0.0, 0.0, 0.005, 0.03)),
            loss=random.choice((0.0, 0.1, 0.4)),
            power=random.choice((0.0, 0.5, 1.0)),
            kills=random.choice((0, 2, 6)),
            steps=random.randrange(60, 160),
            upkeep=upkeep,
        )


@dataclass
class Call:
    """A body that a client sends until it is acknowledged."""

    key: str
    body: Body
    events: tuple[str, ...]
    label: str = ""
    account: str = ""
    reply: Reply | None = None
    acknowledged: bool = False


@dataclass
class Summary:
    """What happened in a run, to be added up."""

    seed: int
    counts: Counter[str] = field(default_factory=Counter)
    history: str = ""


class InvariantError(AssertionError):
    """An invariant does not hold."""


def require(holds: bool, what: str) -> None:
    """Raise InvariantError unless something holds."""
    if not holds:
        raise InvariantError(what)


def calls(random: Random) -> list[Call]:
    """Draw the load: accounts that register and write to strangers, in bodies of a few events."""
    events: list[dict[str, Any]] = []
    for n in range(ACCOUNTS):
        name, begin = f"account-{n}", NOON_MS + 60_000 * n
        registered = {"type": "account.registered", "phone": f"+97254123456{n}", "device": f"d{n}"}
        events.append({"id": f"{name}-r", "ts": begin, "account": name, **registered})
        for k in range(SENDS if n else 8):
            sent = {"type": "message.sent", "peer": f"{name}-p{k}", "in_contacts": False}
            stamp = begin + 1000 + random.randrange(90, 110) * k
            events.append({"id": f"{name}-{k}", "ts": stamp, "account": name, **sent})
    events.sort(key=lambda event: event["ts"])
    found, at = list[Call](), 0
    while at < len(events):
        part = events[at : at + random.choice((1, 3, 10, 40))]
        body = Body(b"\n".join(map(msgspec.json.encode, part)), "lines")
        found.append(Call(f"key-{at}", body, tuple(event["id"] for event in part)))
        at += len(part)
    return found


def after_all() -> list[Call]:
    """Return bodies that follow all others: an account that writes to further strangers."""
    found = list[Call]()
    for n in range(4):
        name = f"account-{ACCOUNTS}"
        sent = {"type": "message.sent", "account": name, "peer": f"p{n}", "in_contacts": False}
        event = f"{name}-after-{n}"
        line = {"id": event, "ts": NOON_MS + 3_000_000 + n} | sent
        found.append(Call(f"after-{n}", Body(msgspec.json.encode(line), "lines"), (event,)))
    return found


class Run:
    """One seed's run.

    Args:
        seed: Draws everything.
        odds: Replaces the odds that the seed draws.
        upkeep: The weight of an operator's acts, where the seed draws the rest.
    """

    def __init__(self, seed: int, odds: Odds | None = None, upkeep: int = 0) -> None:
        self.random = Random(seed)
        drawn = Odds.draw(self.random, upkeep)
        self.odds = odds or drawn
        self.machine = Machine(self.random, fenced=self.odds.upkeep > 0)
        self.machine.clock_ms = NOON_MS + 3_600_000
        self.to_send = calls(self.random)
        self.sent: list[Call] = []
        self.erased: set[str] = set()
        self.labels = 0
        self.summary = Summary(seed)
        self._history = hashlib.sha256()

    def __call__(self) -> Summary:
        """Run, and check the invariants; raises InvariantError."""
        try:
            self._steps()
            self._settle()
            self._check()
            self._restart_from_snapshot()
            self._check()
            self.machine.kill(power=True)
            require(self.machine.start(), "the service does not start after the last crash")
            self._check_log()
            self._check_state()
        finally:
            self.machine.close()
        counts = self.summary.counts
        counts["starts"] += self.machine.starts
        counts["disk faults"] += sum(self.machine.disk.faults.values())
        counts["disk operations"] += self.machine.disk.operations
        self.summary.history = self._history.hexdigest()[:16]
        return self.summary

    # Steps

    def _steps(self) -> None:
        machine, odds = self.machine, self.odds
        machine.disk.fault_rate = odds.faults
        steps = {
            self._send: 10,
            machine.write: 12,
            machine.decide: 10,
            machine.checkpoint: 3,
            machine.write_snapshots: 3,
            machine.take_snapshot: 2,
            self._trim: 1,
            self._deliver: 4,
            self._override: 1,
            self._erase: 1,
            self._move_clock: 1,
            self._kill: odds.kills,
            self._plan_death: odds.kills,
            self._overtake: odds.upkeep,
            machine.former_turns: odds.upkeep * 3,
            self._rotate: odds.upkeep,
            self._save_backup: odds.upkeep,
            self._restore: odds.upkeep,
            self._switch: odds.upkeep,
        }
        names = {step: step.__name__.strip("_") for step in steps}
        for _ in range(odds.steps):
            if machine.stages is None and not self._start():
                continue
            (step,) = self.random.choices(list(steps), list(steps.values()))
            step()
            self._note(names[step])
            self._read_replies()
            if machine.disk.dead:
                self._died()

    def _note(self, step: str) -> None:
        self.summary.counts[step] += 1
        self._history.update(f"{step} {self.machine.disk.operations}\n".encode())

    def _start(self) -> bool:
        started = self.machine.start()
        self._note("start" if started else "start fails")
        if self.machine.disk.dead:
            self._died()
            return False
        if not started:
            self.machine.kill(power=False)
            return False
        if not self.odds.faults:
            self._check_log()
        return True

    def _send(self) -> None:
        """Send a body: the next one, or one whose answer has not come."""
        waiting = [call for call in self.sent if not call.acknowledged and call.reply is None]
        if waiting and (not self.to_send or self.random.random() < 0.5):
            call = self.random.choice(waiting)
        elif self.to_send:
            call = self.to_send.pop(0)
            self.sent.append(call)
        else:
            return
        self._call(call)

    def _call(self, call: Call) -> None:
        if self.random.random() < self.odds.loss:
            return
        if call.label:
            call.reply = self.machine.request(call.body, call.key, _asker(call.account))
        else:
            call.reply = self.machine.request(call.body, call.key)

    def _read_replies(self) -> None:
        """Let clients read their answers, unless the network loses them."""
        for call in self.sent:
            if call.reply is None or not call.reply.done():
                continue
            value, call.reply = call.reply.value, None
            if self.random.random() < self.odds.loss:
                continue
            if call.label and isinstance(value, tuple):
                require(value[0] == call.label, f"{call.label} of {call.account} gave {value}")
                call.acknowledged = True
            elif isinstance(value, Accepted):
                require(value.count == len(call.events), f"{value.count} of {call.events}")
                call.acknowledged = True

    def _override(self) -> None:
        """Ban or clear an account by a person's label."""
        account = f"account-{self.random.randrange(ACCOUNTS)}"
        outcome, verdict = self.random.choice((("ban", "abusive"), ("allow", "benign")))
        event = f"label-{self.labels}"
        self.labels += 1
        line = {
            "id": event,
            "ts": NOON_MS + 3_600_000,
            "type": "label.assigned",
            "account": account,
            "label": verdict,
            "source": "appeal",
        }
        body = Body(msgspec.json.encode(line), "lines")
        call = Call(event, body, (event,), outcome, account)
        self.sent.append(call)
        self._call(call)

    def _erase(self) -> None:
        """Erase an account whose registration is acknowledged."""
        known = {event for call in self.sent if call.acknowledged for event in call.events}
        accounts = [f"account-{n}" for n in range(ACCOUNTS) if f"account-{n}-r" in known]
        if accounts:
            account = self.random.choice(accounts)
            if self.machine.erase(account):
                self.erased.add(account)

    def _deliver(self) -> None:
        self.machine.deliver(self.odds.loss)

    def _trim(self) -> None:
        """Remove from the log what snapshots hold."""
        self.summary.counts["trims"] += self.machine.trim()

    def _overtake(self) -> None:
        """Let a second server take over the log; the first one notices only when it writes."""
        if self.machine.stages is None or self.machine.former is not None:
            return
        for _ in range(3):
            self._send()
        # Who waits for the first one's answers hears nothing more of it: its lease is lost.
        former = [call for call in self.sent if call.reply is not None]
        if not self.machine.overtake():
            self._died()
            return
        for call in former:
            call.reply = None
        self.summary.counts["takeovers"] += 1
        self.machine.former_turns()

    def _rotate(self) -> None:
        """Stop the server, and rotate the key that signs the ledger."""
        self.summary.counts["rotations"] += self.machine.rotate()
        for call in self.sent:
            call.reply = None

    def _switch(self) -> None:
        """Let another policy decide, while the service runs."""
        if self.machine.stages is None:
            return
        self.summary.counts["switches"] += self.machine.switch()
        self._read_replies()
        # What the former pipeline could not write is not answered.
        for call in self.sent:
            call.reply = None
        if self.machine.stages is None:
            self._died()

    def _save_backup(self) -> None:
        self.summary.counts["backups"] += self.machine.save_backup()

    def _restore(self) -> None:
        """Restore the newest backup; clients then send again what came after it."""
        if self.machine.backup is None:
            return
        # What was erased since the backup must not come back with it.
        self._erase()
        faults, self.machine.disk.fault_rate = self.machine.disk.fault_rate, 0.0
        self.machine.restore()
        self.summary.counts["restores"] += 1
        require(self.machine.start(), "the service does not start from a restored backup")
        log = self.machine.log() if self.machine.tables(_ANY_EVENT) else None
        ids = set(log.column("id").to_pylist()) if log is not None else set()
        for call in self.sent:
            call.reply, call.acknowledged = None, ids.issuperset(call.events)
        # Whose registration was lost registers again, after the erasure.
        self.erased = {account for account in self.erased if f"{account}-r" in ids}
        self._check_log()
        self.machine.disk.fault_rate = faults

    def _move_clock(self) -> None:
        """Let the clock jump, not beyond the day for which Idempotency-Keys are kept."""
        self.machine.clock_ms += self.random.choice((1, 1_000, 60_000, 3_600_000, -600_000))
        self.machine.clock_ms = max(self.machine.clock_ms, NOON_MS + 3_600_000)

    def _kill(self) -> None:
        self._died(counted=True)

    def _plan_death(self) -> None:
        """Let the process die in the middle of what the disk does soon."""
        disk = self.machine.disk
        disk.die_at = disk.operations + self.random.randrange(1, 60)

    def _died(self, *, counted: bool = False) -> None:
        power = self.random.random() < self.odds.power
        self.machine.kill(power=power)
        for call in self.sent:
            call.reply = None
        if not counted:
            self._note("power loss" if power else "death")

    # The end

    def _settle(self) -> None:
        """Let faults end, restart, send the rest, and wait until nothing is left to do."""
        machine = self.machine
        machine.disk.fault_rate, machine.disk.die_at = 0.0, None
        self.odds = Odds(0.0, 0.0, self.odds.power, 0, 0)
        if machine.stages is not None and self.random.random() < 0.5:
            # Half of the runs go on in the process that has seen the faults.
            machine.write()
        else:
            self._died()
        if machine.stages is None:
            require(machine.start(), "the service does not start on a disk without faults")
        self._send_the_rest()
        self._deliver_the_rest()
        left = [call.key for call in self.sent if not call.acknowledged]
        require(not left, f"never acknowledged: {left}")
        engine = machine.stages.engine_thread if machine.stages else None
        require(engine is not None and not engine.broken, f"the engine is broken: {engine}")

    def _send_the_rest(self) -> None:
        machine = self.machine
        self.sent += self.to_send
        self.to_send.clear()
        for _ in range(MOST_TURNS):
            for call in self.sent:
                if not call.acknowledged and call.reply is None:
                    self._call(call)
            for step in (machine.write, machine.decide, machine.write, machine.checkpoint):
                step()
            self._read_replies()
            if all(call.acknowledged for call in self.sent):
                break

    def _deliver_the_rest(self) -> None:
        machine = self.machine
        machine.write()
        for _ in range(MOST_TURNS):
            # Longer in all than the longest wait that a clock which was ahead can leave.
            machine.clock_ms += 100_000
            machine.deliver(0.0)
            if not machine.tables(_UNDELIVERED):
                break
        for step in (machine.write, machine.write_snapshots, machine.write):
            step()

    def _restart_from_snapshot(self) -> None:
        """Take a snapshot, send more, and restart: what came after the snapshot is replayed."""
        machine = self.machine
        machine.take_snapshot()
        position = machine.stages.snapshots.position if machine.stages else 0
        self.to_send = after_all()
        self._send_the_rest()
        self._deliver_the_rest()
        machine.kill(power=False)
        require(machine.start(), "the service does not start from a snapshot")
        self.summary.counts["restarts behind a snapshot"] += position > 0

    # Invariants

    def _check_log(self) -> None:
        """Acknowledged once, in no row damaged; erased for good."""
        log = self.machine.log() if self.sent and self.machine.tables(_ANY_EVENT) else None
        ids = log.column("id").to_pylist() if log is not None else []
        require(len(set(ids)) == len(ids), "an event is in the log twice")
        wanted = {event for call in self.sent if call.acknowledged for event in call.events}
        lost = sorted(wanted - set(ids))
        require(not lost, f"acknowledged events are lost: {lost[:5]} and more, {len(lost)}")
        for row in self.machine.stored_log().to_pylist() if log is not None else []:
            held = row["number"] or row["address"]
            require(not (row["account"] in self.erased and held), f"{row['account']} is back")

    def _check_state(self) -> None:
        """The engine has counted what one engine counts that reads the whole log."""
        if self.machine.stages is None or not self.sent:
            return
        whole, _ = decided(self.machine.log(), self.machine.switches)
        require(self.machine.state() == counted(whole), "the state is not that of the log")

    def _check(self) -> None:
        self._check_log()
        self._check_state()
        rows = self.machine.tables("SELECT number, id, body FROM decision ORDER BY number")
        require([row[0] for row in rows] == list(range(1, len(rows) + 1)), "decisions have gaps")
        self._check_decisions([bytes(row[2]) for row in rows])
        self._check_sealed([row[1] for row in rows])
        self._check_heard()
        self.summary.counts["decisions"] += len(rows)
        self.summary.counts["messages"] += sum(self.machine.received.values())
        self.summary.counts["snapshots"] += self.machine.snapshots()

    def _check_decisions(self, stored: list[bytes]) -> None:
        """Decided as uninterrupted engines decide; the state in force is the newest's."""
        _, made = decided(self.machine.log(), self.machine.switches)
        require([msgspec.json.encode(one) for one in made] == stored, "decisions differ")
        newest = {one.account: one.outcome for one in made}
        in_force = dict(self.machine.tables("SELECT account, outcome FROM standing"))
        require(in_force == newest, f"in force: {in_force}, decided: {newest}")

    def _check_sealed(self, ids: list[str]) -> None:
        """Each decision is sealed once, in order, before its one receipt."""
        with tempfile.TemporaryDirectory() as place:
            export_ledger(Path(place))
            key = self.machine.signers[-1].key
            audit = audit_directory(Path(place), [key], [], (), self.machine.changes)
            require(bool(audit.checked), "not audited")
            entries = [read_entry(line) for line in read_lines(Path(place) / "entries.jsonl")]
        at = [k for k, entry in enumerate(entries) if isinstance(entry.body, DecisionEntry)]
        opened = [OpeningRows().of(k) for k in at]
        # An erasure removes the openings of an account's decisions.
        sealed = [one["id"][1] if one else ids[k] for k, one in enumerate(opened[: len(ids)])]
        require(sealed == ids, "sealed otherwise than decided")
        require(len(at) == len(ids), f"{len(at)} of {len(ids)} decisions are sealed")
        receipts = [
            entry.body.decision
            for entry in entries
            if isinstance(entry.body, ReceiptEntry) and entry.body.effect == "applied"
        ]
        require(receipts == at, "a receipt is missing, or there twice")
        labels = sum(isinstance(entry.body, LabelEntry) for entry in entries)
        require(labels == self.labels, f"{labels} of {self.labels} labels are sealed")

    def _check_heard(self) -> None:
        """The webhook has each decision that it asks for, and each lift of one, at least once."""
        wanted: set[str] = set()
        heard: set[str] = set()
        for one, account, outcome in self.machine.tables(
            "SELECT id, account, outcome FROM decision ORDER BY number"
        ):
            asked_for = OUTCOMES.index(outcome) >= OUTCOMES.index("limit")
            if asked_for or account in heard:
                wanted.add(f"dec_{one}")
            (heard.add if asked_for else heard.discard)(account)
        require(set(self.machine.received) == wanted, "the webhook was not sent all decisions")
        require(not self.machine.tables("SELECT id FROM letter"), f"{WEBHOOK} has letters left")


_UNDELIVERED = (
    "SELECT id FROM letter UNION ALL "
    "SELECT id FROM hook WHERE cursor < (SELECT MAX(number) FROM decision)"
)
_ANY_EVENT = "SELECT first FROM log_batch UNION ALL SELECT position FROM log_start LIMIT 1"


def _asker(account: str) -> Any:
    return lambda engine: enforcement_state(engine, account)


def run_seed(seed: int, upkeep: int = 0) -> Summary | str:
    """Run a seed; return what happened, or the invariant that did not hold."""
    try:
        return Run(seed, upkeep=upkeep)()
    except (WavebreakError, AssertionError) as error:
        return f"seed {seed}: {error}"
