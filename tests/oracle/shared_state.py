"""Shared state as plain sums of each account's contributions, read epoch by epoch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from wavebreak.features.windows import HALVES, LOG2
from wavebreak.outcomes import CHALLENGE
from wavebreak.outcomes import RANKS as RANK

HALF_LIVES = {
    "good": 43_200, "bad": 43_200, "arrivals": 1_440,
    "joined": 10_080, "cold": 1_440, "opened": 10_080, "answered": 10_080,
}  # fmt: skip
"""In epochs of 60 s: 30 days, 1 day and 7 days."""
ONE = 65_536
"""Weights of entities are in this fraction of one, as integers."""
REPUTATION = ("good", "bad", "arrivals")
CLUSTER = ("joined", "cold", "opened", "answered")


class Contribution(NamedTuple):
    """A contribution in an epoch, to an account or an entity (column, name), of one table.

    `name` is where an account says that it stands, or who it is that registers.
    """

    epoch: int
    table: str
    key: str | tuple[str, str]
    amount: int
    name: str | None = None


def decayed(value: int, since: int, until: int, half_life: int) -> int:
    """`value` of one epoch as of a later one, in whole numbers, towards zero.

    It fades at each 64th of the half-life, counted from epoch 0.

    >>> decayed(65536, 7, 67, 60), decayed(-65536, 0, 6000, 60)
    (32768, 0)
    """
    steps = until * 64 // half_life - since * 64 // half_life
    halvings, rest = divmod(max(steps, 0), 64)
    left = (abs(value) * int(HALVES[rest]) >> 16) >> halvings
    return left if value >= 0 else -left


def log2(x: int) -> int:
    """Return 256 times the binary logarithm of x ≥ 1, cut to the step of the table.

    >>> log2(1), log2(3), log2(1024)
    (0, 406, 2560)
    """
    whole = x.bit_length() - 1
    return whole * 256 + int(LOG2[((x << 8) >> whole) - 256])


def groups_of(told: Iterable[Contribution], epoch: int) -> list[tuple[str, int]]:
    """The last four groups that an account came into and is in, and which it joined itself."""
    held: list[tuple[str, int]] = []
    for gift in told:
        if gift.epoch >= epoch or gift.table not in ("in_group", "left_group"):
            continue
        name = gift.name or ""
        joined = max([gift.amount, *(own for group, own in held if group == name)])
        held = [(group, own) for group, own in held if group != name]
        if gift.table == "in_group":
            held = [(name, joined), *held][:4]
    return held


class Shared:
    """All contributions. A value "as of" an epoch sums those of the epochs before it.

    `named` is each account's place among the names of the log, `first` the log's first epoch.
    """

    def __init__(
        self, gifts: Iterable[Contribution] = (), named: Mapping[str, int] | None = None,
        first: int = 0,
    ) -> None:  # fmt: skip
        self.named, self.first = named or {}, first
        self.gifts: dict[str | tuple[str, str], list[Contribution]] = defaultdict(list)
        for gift in gifts:
            self.gifts[gift.key].append(gift)

    def newcomers(self, entity: tuple[str, str], epoch: int) -> list[str]:
        """The eight newest accounts registered on an entity up to an epoch."""
        joined = {g.name or "" for g in self.gifts.get(entity, ())
                  if g.table == "joined" and g.epoch <= epoch}  # fmt: skip
        return sorted(joined, key=lambda who: self.named[who])[-8:]

    def _amounts(self, table: str, who: str, epoch: int) -> list[int]:
        gifts = self.gifts.get(who, [])
        return [g.amount for g in gifts if g.table == table and g.epoch < epoch]

    def born(self, who: str, epoch: int) -> int | None:
        """Time of an account's last registration (s), as others read it."""
        times = self._amounts("born", who, epoch)
        return times[-1] if times else None

    def enforced(self, who: str, epoch: int, now: int) -> bool:
        """Whether an account is under a challenge or more at a time (s), as others read it."""
        outcome = self._amounts("outcome", who, epoch)[-1:]
        until = self._amounts("until", who, epoch)[-1:]
        severe = outcome and RANK[outcome[0]] >= RANK[CHALLENGE]
        return bool(severe) and (until[0] == 0 or now < until[0])

    def hunted(self, who: str, epoch: int) -> bool:
        """Whether an account was a cold target of a restricted one."""
        return bool(self._amounts("hunted", who, epoch))

    def credibility(self, who: str, epoch: int) -> int:
        """Weight of one report by an account, in 1/256."""
        trusted = min(sum(self._amounts("trusted", who, epoch)), 65_535)
        doubted = min(sum(self._amounts("doubted", who, epoch)), 65_535)
        odds = log2(trusted + 6) - log2(doubted + 3)
        return min(max(3 * odds // 4, 0), 512)

    def kin(self, who: str, others: Iterable[str], epoch: int) -> bool:
        """Whether one of `others` registered within an hour of an account."""
        born = self.born(who, epoch)
        times = [self.born(other, epoch) for other in others]
        return born is not None and any(t is not None and abs(t - born) <= 3600 for t in times)

    def friends(self, who: str, epoch: int) -> list[str]:
        """The last four accounts with which an account's messages went both ways."""
        gifts = self.gifts.get(who, [])
        names = [g.name or "" for g in gifts if g.table == "friend" and g.epoch < epoch]
        return list(dict.fromkeys(reversed(names)))[:4]

    def acquainted(self, who: str, other: str, epoch: int) -> bool:
        """Whether two accounts know each other: by messages both ways, or by one device."""
        device = self.place(who, "device", epoch)
        together = device is not None and device == self.place(other, "device", epoch)
        return together or other in self.friends(who, epoch) or who in self.friends(other, epoch)

    def share_group(self, who: str, other: str, epoch: int) -> bool:
        """Whether an account is in a group that another joined, into which at most 100 came."""
        own = {group for group, _ in groups_of(self.gifts.get(who, []), epoch)}
        for group, joined in groups_of(self.gifts.get(other, []), epoch):
            came = self.gifts.get(("group", group), [])
            size = sum(g.amount for g in came if g.table == "came_in" and g.epoch < epoch)
            if joined and group in own and size <= 100:
                return True
        return False

    def share_organisation(self, who: str, other: str, epoch: int) -> bool:
        """Whether two accounts are declared members of one organisation."""
        one, two = (
            [g.name for g in self.gifts.get(name, ())
             if g.table == "organisation" and g.epoch < epoch][-1:]
            for name in (who, other)
        )  # fmt: skip
        return one == two and bool(one) and one[0] is not None

    def place(self, who: str, entity: str, epoch: int) -> str | None:
        """An account's network, block or device, as others read it."""
        gifts = self.gifts.get(who, [])
        names = [g.name for g in gifts if g.table == f"on_{entity}" and g.epoch < epoch]
        return names[-1] if names else None

    def courted(self, who: str, epoch: int) -> int:
        """How often young strangers approached an account on the open epoch's day and the last.

        A day counts up to 255.
        """
        return self._of_two_days("courted", who, epoch)

    def accused(self, who: str, epoch: int) -> int:
        """How often an account was reported blindly, on the same days."""
        return self._of_two_days("accused", who, epoch)

    def _of_two_days(self, table: str, who: str, epoch: int) -> int:
        days = [g.epoch // 1_440 for g in self.gifts.get(who, ())
                if g.table == table and g.epoch < epoch]  # fmt: skip
        return sum(min(days.count(epoch // 1_440 - ago), 255) for ago in (0, 1))

    def weight(self, table: str, entity: tuple[str, str], epoch: int) -> float:
        """Decayed sum of contributions to an entity, at least 0.

        It decays in steps, at every epoch in which the entity was contributed to (by what it shares
        a date with: reputation, or what young accounts do), since each step is rounded down.
        """
        half_life = HALF_LIVES[table]
        beside = REPUTATION if table in REPUTATION else CLUSTER
        sums: dict[int, int] = defaultdict(int)
        for gift in self.gifts.get(entity, []):
            if gift.epoch < epoch and gift.table in beside:
                sums[gift.epoch] += gift.amount * ONE if gift.table == table else 0
        value, at = 0, 0
        for then in sorted(sums):
            value, at = decayed(value, at, then, half_life) + sums[then], then
        return max(decayed(value, at, epoch, half_life), 0) / ONE
