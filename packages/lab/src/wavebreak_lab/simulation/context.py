"""Context that all generators share: people, clock, string pool, event log, accounts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from wavebreak.errors import UsageError
from wavebreak_lab.simulation.behaviour import (
    DEFAULT_CONTENT,
    UNWANTED,
    MessageContent,
    RecipientBehaviour,
)
from wavebreak_lab.simulation.log import (
    ABSENT,
    Bools,
    EventLog,
    Floats,
    Ints,
    StringPool,
    hexadecimal,
)
from wavebreak_lab.simulation.population import People

DEFAULT_TYPING_SHARE = 0.65
"""Share of texts typed by accounts that are not people of the world: firms and operators."""

NAME_DIGITS = 8
_MIX = 2_654_435_761  # odd, so that multiplying modulo 2**32 maps one to one


Label = tuple[str, str, str, str]
"""account, label, family, operator"""


class AccountRegistry:
    """All accounts: number, name, label, family and operator.

    Names are a one-to-one mix of number and seed, so that a name reveals nothing.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed % (1 << 32)
        self._rows: list[tuple[str, str, str]] = []
        self._given_names: dict[int, str] = {}
        self._compromised_at_ms: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, count: int, label: str, family: str, operator: str = "") -> Ints:
        """Add accounts; return their numbers. An empty label marks a number without an account."""
        first = len(self)
        self._rows += [(label, family, operator)] * count
        return np.arange(first, first + count, dtype=np.int64)

    def name(self, accounts: Ints, names: Sequence[str]) -> None:
        """Set the names of accounts, as those of a background trace."""
        self._given_names |= dict(zip(accounts.tolist(), names, strict=True))

    def relabel(self, accounts: Ints, label: str, family: str, operator: str = "") -> None:
        """Change label, family and operator of accounts."""
        for account in accounts.tolist():
            self._rows[account] = label, family, operator

    def mark_compromised(self, accounts: Ints, ts: Ints) -> None:
        """Record when accounts were compromised: before that they belonged to honest people."""
        self._compromised_at_ms |= dict(zip(accounts.tolist(), ts.tolist(), strict=True))

    def compromised_at(self) -> dict[str, int]:
        """Return the times at which accounts were compromised (milliseconds), by name."""
        names = self.names()
        return {names[account].as_py(): ts for account, ts in self._compromised_at_ms.items()}

    def of(self, family: str) -> Ints:
        """Return the accounts of one family or persona."""
        return np.array([i for i, row in enumerate(self._rows) if row[1] == family], np.int64)

    def are_abusive(self) -> Bools:
        """Return whether each account is labelled abusive, by number."""
        return np.array([label == "abusive" for label, _, _ in self._rows], bool)

    def names(self) -> pa.StringArray:
        """Return every account's name, by number."""
        mixed = (np.arange(len(self), dtype=np.uint64) + np.uint64(self._seed)) * np.uint64(_MIX)
        mixed_names = hexadecimal(mixed % np.uint64(1 << 32), NAME_DIGITS, "a")
        if not self._given_names:
            return mixed_names
        names = mixed_names.to_pylist()
        for account, name in self._given_names.items():
            names[account] = name
        return pa.array(names, pa.string())

    def labels(self) -> list[Label]:
        """Return (account, label, family, operator) of every account."""
        names = self.names().to_pylist()
        return [(name, *row) for name, row in zip(names, self._rows, strict=True) if row[0]]


@dataclass(frozen=True, slots=True)
class PublicRoom:
    """A group that anybody may join: the number of its name, and its members."""

    name: int
    members: Ints


@dataclass(slots=True)
class SimulationContext:
    """Everything that campaigns, personas and everyday life are generated from and into.

    `start` and `end` bound the simulation (milliseconds). `assigned` are the people who already
    belong to a persona or campaign. `behaviour` is how people respond to unsolicited `content`.
    `rooms`: public rooms, once a persona or campaign of them is played.
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
    behaviour: RecipientBehaviour = UNWANTED
    content: MessageContent = DEFAULT_CONTENT
    rooms: list[PublicRoom] = field(default_factory=list)

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
        """Return the people who registered before the start and are not assigned yet."""
        free = np.flatnonzero(self.people.registered_at < self.start)
        return free[~np.isin(free, np.fromiter(self.assigned, np.int64, len(self.assigned)))]

    def assign_people(
        self, count: int, family: str, label: str = "benign", operator: str = ""
    ) -> Ints:
        """Assign established people to a family, so that no other persona or campaign uses them.

        Raises UsageError when there are too few people.
        """
        settled = self.established_people()
        if len(settled) < count:
            raise UsageError(
                f"{family} needs {count} unassigned people",
                fix="simulate more people, or give the campaign fewer accounts",
            )
        people = self.rng.choice(settled, count, replace=False)
        self.assigned |= set(people.tolist())
        self.registry.relabel(people, label, family, operator)
        return people

    def draw_strangers(self, count: int) -> Ints:
        """Draw distinct established people at random, at most `count`."""
        settled = np.flatnonzero(self.people.registered_at < self.start)
        return self.rng.choice(settled, min(count, len(settled)), replace=False)

    def typing_shares(self, account: Ints) -> Floats:
        """Return the share of its texts that each account types."""
        people = len(self.people)
        shares = self.people.typing[np.minimum(account, people - 1)]
        return np.where(account < people, shares, DEFAULT_TYPING_SHARE)

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
        """Add sessions: accounts connect from addresses with devices."""
        mark = 1 if linked else ABSENT
        self.log.add(
            "session.started", ts, account, ip=ip, device=device, client=client, linked=mark
        )
