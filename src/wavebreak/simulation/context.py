"""What every planner is given: people, clock, strings, the log, and a registry of the accounts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from wavebreak.errors import UsageError
from wavebreak.simulation.behaviour import (
    DEFAULT_CONTENT,
    TOLERATED,
    UNWANTED,
    ConversationStyle,
    MessageContent,
    RecipientBehaviour,
)
from wavebreak.simulation.log import ABSENT, EventLog, Floats, Ints, StringPool, hexadecimal
from wavebreak.simulation.population import People

DEFAULT_TYPING_SHARE = 0.65
"""Share of texts typed by accounts that are not people of the world: firms and operators."""

NAME_DIGITS = 8
_MIX = 2_654_435_761  # odd, so that multiplying modulo 2**32 maps one to one


Label = tuple[str, str, str, str]
"""account, label, family, operator"""


class AccountRegistry:
    """All accounts: their number, name, label, family and operator.

    Names are a one-to-one mix of number and seed, so that a name says nothing of the account.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed % (1 << 32)
        self._label: list[str] = []
        self._family: list[str] = []
        self._operator: list[str] = []
        self._given: dict[int, str] = {}
        self._compromised: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._label)

    def add(self, count: int, label: str, family: str, operator: str = "") -> Ints:
        """Enrol accounts; return their numbers. An empty label: a number that is no account."""
        first = len(self)
        self._label += [label] * count
        self._family += [family] * count
        self._operator += [operator] * count
        return np.arange(first, first + count, dtype=np.int64)

    def name(self, accounts: Ints, names: Sequence[str]) -> None:
        """Keep given names for accounts, as those of a background have."""
        self._given |= dict(zip(accounts.tolist(), names, strict=True))

    def relabel(self, accounts: Ints, label: str, family: str, operator: str = "") -> None:
        """Change what some accounts are."""
        for account in accounts.tolist():
            self._label[account] = label
            self._family[account] = family
            self._operator[account] = operator

    def mark_compromised(self, accounts: Ints, ts: Ints) -> None:
        """Note when accounts became what their label says: before, they were honest people's."""
        self._compromised |= dict(zip(accounts.tolist(), ts.tolist(), strict=True))

    def compromised_at(self) -> dict[str, int]:
        """Return by name when accounts became what their label says (milliseconds)."""
        names = self.names()
        return {names[account].as_py(): ts for account, ts in self._compromised.items()}

    def of(self, family: str) -> Ints:
        """Return the accounts of one family or persona."""
        return np.array([i for i, f in enumerate(self._family) if f == family], np.int64)

    def names(self) -> pa.StringArray:
        """Return every account's name, by number."""
        mixed = (np.arange(len(self), dtype=np.uint64) + np.uint64(self._seed)) * np.uint64(_MIX)
        made = hexadecimal(mixed % np.uint64(1 << 32), NAME_DIGITS, "a")
        if not self._given:
            return made
        listed = made.to_pylist()
        for account, name in self._given.items():
            listed[account] = name
        return pa.array(listed, pa.string())

    def labels(self) -> list[Label]:
        """Return (account, label, family, operator) of every account."""
        rows = zip(self.names().to_pylist(), self._label, self._family, self._operator, strict=True)
        return [row for row in rows if row[1]]


@dataclass(slots=True)
class SimulationContext:
    """The stage that campaigns and personas play on.

    `start` and `end` bound the simulation (milliseconds). `taken` are the people who already
    play a part, so that no two personas or hijackers share an account. `style` is how people
    converse; `behaviour` how they meet a `content` that nobody asked for, `tolerated` one that they
    understand. `targets`: whom an operator knows (None: anyone may be written to).
    """

    rng: np.random.Generator
    log: EventLog
    pool: StringPool
    registry: AccountRegistry
    people: People
    start: int
    end: int
    assigned: set[int] = field(default_factory=set)
    groups: int = 0
    style: ConversationStyle = field(default_factory=ConversationStyle)
    behaviour: RecipientBehaviour = UNWANTED
    tolerated: RecipientBehaviour = TOLERATED
    content: MessageContent = DEFAULT_CONTENT
    targets: Ints | None = None

    @property
    def span(self) -> int:
        """Length of the simulation in milliseconds."""
        return self.end - self.start

    def draw_times(self, low: float, high: float, count: int) -> Ints:
        """Draw times uniformly between two shares of the simulated span."""
        return (self.start + self.rng.uniform(low, high, count) * self.span).astype(np.int64)

    def new_groups(self, count: int) -> Ints:
        """Return the numbers of names of new groups."""
        first, self.groups = self.groups, self.groups + count
        return self.pool.add(f"g{first + index:08x}" for index in range(count))

    def established_people(self) -> Ints:
        """Return the people who were there before the simulation and play no other part."""
        free = np.flatnonzero(self.people.registered_at < self.start)
        return free[~np.isin(free, np.fromiter(self.assigned, np.int64, len(self.assigned)))]

    def assign_people(
        self, count: int, family: str, label: str = "benign", operator: str = ""
    ) -> Ints:
        """Give settled people a part: enrol them under a family and keep others off them.

        Raises UsageError when there are too few people.
        """
        settled = self.established_people()
        if len(settled) < count:
            raise UsageError(
                f"{family} needs {count} people who play no other part",
                fix="simulate more people, or give the campaign fewer accounts",
            )
        who = self.rng.choice(settled, count, replace=False)
        self.assigned |= set(who.tolist())
        self.registry.relabel(who, label, family, operator)
        return who

    def draw_strangers(self, count: int) -> Ints:
        """Draw settled people at random, each once; fewer when there are not so many."""
        settled = self.targets
        if settled is None:
            settled = np.flatnonzero(self.people.registered_at < self.start)
        return self.rng.choice(settled, min(count, len(settled)), replace=False)

    def typing_shares(self, account: Ints) -> Floats:
        """Return what share of its texts each account types."""
        people = len(self.people)
        known = self.people.typing[np.minimum(account, people - 1)]
        return np.where(account < people, known, DEFAULT_TYPING_SHARE)

    def add_sessions(
        self,
        ts: Ints,
        account: Ints,
        ip: Ints | int,
        device: Ints | int,
        client: Ints | int,
        *,
        linked: bool = False,
    ) -> None:
        """Plan sessions: an account connects from an address with a device."""
        self.log.add(
            "session.started",
            ts,
            account,
            ip=ip,
            device=device,
            client=client,
            linked=1 if linked else ABSENT,
        )
