"""Campaigns: cases that wait and that a person decides together.

Accounts of one operator, or accounts that write to the same people, are a campaign; so are accounts
of one kind of abuse that send in one shape, from one network where it has many. The few that are
left are grouped by shape, or are the others. The indexer stores the campaign of each case in the
background, so that a page only counts rows.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

from wavebreak.engine.account_queries import LiveAccount, SendingTraits
from wavebreak.linking import Operator
from wavebreak_server.slices.queue.models import ReviewCase

MIN_LINKED = 5
"""Cases of an operator or of a target list from which on they are a campaign of their own."""
MIN_ALIKE = 10
"""Cases of a kind of abuse and a shape from which on they are a campaign of their own."""
MIN_NETWORK = 20
"""The same from one network."""
SHARED_TARGETS = 3
"""Shared people, of the last four, by which two accounts write to one list."""
MIN_STRANGERS = 20
"""First messages to strangers from which on replies and complaints tell a shape."""
ANSWERED_SHARE, COMPLAINED_SHARE = 0.2, 0.05
NEW, OTHERS, LIST = "new", "alike--", "list-"
"""Campaigns of cases that are not grouped yet, and of those that nothing connects; begin of the key
of a target list."""
BATCH = 500


class CaseTraits(NamedTuple):
    """What a case is grouped by.

    Attributes:
        id: The case.
        campaign: The campaign that it is of now ("": none yet).
        abuse: The kind of abuse that its rule is about ("": of a score).
        shape: The shape of sending, by `shape_of`.
        operator: Id of its operator ("": none).
        network: Number of its network's entity (0: unknown).
        targets: Slots of the people whom it last wrote to first, as text.
    """

    id: int
    campaign: str
    abuse: str
    shape: str
    operator: str = ""
    network: int = 0
    targets: str = ""


def shape_of(live: LiveAccount) -> str:
    """Return the shape of an account's sending.

    >>> quiet = LiveAccount("limit", 3, 0, 3, 0, 0, 0, 0, (), False)
    >>> [shape_of(quiet), shape_of(quiet._replace(strangers=90, complained=9))]
    ['few', 'unwelcome']
    """
    if not live.strangers:
        return "none"
    if live.strangers < MIN_STRANGERS:
        return "few"
    if live.complained >= COMPLAINED_SHARE * live.strangers:
        return "unwelcome"
    if live.answered >= ANSWERED_SHARE * live.strangers:
        return "answered"
    return "unanswered"


def measured_traits(
    live: LiveAccount, traits: SendingTraits | None, operator: Operator | None
) -> dict[str, object]:
    """Return the fields of a case that its account's present traits set."""
    return {
        "in_force": live.outcome,
        "reached": live.strangers,
        "complained": live.complained,
        "shape": shape_of(live),
        "network": traits.network if traits else 0,
        "targets": " ".join(map(str, sorted(set(traits.targets)))) if traits else "",
        "operator": operator.id if operator else "",
    }


def campaign_keys(cases: Sequence[CaseTraits]) -> dict[int, str]:
    """Return the campaign of each case.

    >>> [*campaign_keys([CaseTraits(1, "", "takeover", "few")]).values()]
    ['alike--']
    """
    keys: dict[int, str] = {}
    rest: list[CaseTraits] = []
    for linked in _linked(cases):
        if len(linked) >= MIN_LINKED:
            keys |= dict.fromkeys((case.id for case in linked), _linked_key(linked))
        else:
            rest += linked
    networks = Counter((case.network, case.abuse, case.shape) for case in rest if case.network)
    kinds = Counter((case.abuse, case.shape) for case in rest)
    shapes: Counter[str] = Counter()
    for (_, shape), count in kinds.items():
        shapes[shape] += count * (count < MIN_ALIKE)
    for case in rest:
        if networks[case.network, case.abuse, case.shape] >= MIN_NETWORK:
            keys[case.id] = f"network-{case.network}-{case.abuse}-{case.shape}"
        elif kinds[case.abuse, case.shape] >= MIN_ALIKE:
            keys[case.id] = f"alike-{case.abuse}-{case.shape}"
        else:
            keys[case.id] = f"alike--{case.shape if shapes[case.shape] >= MIN_ALIKE else ''}"
    return keys


def _linked(cases: Sequence[CaseTraits]) -> Iterable[list[CaseTraits]]:
    """Return the cases by operator and target list."""
    parents = list(range(len(cases)))

    def root(place: int) -> int:
        while parents[place] != place:
            parents[place] = parents[parents[place]]
            place = parents[place]
        return place

    first: dict[object, int] = {}
    for place, case in enumerate(cases):
        shared: list[object] = [*combinations(case.targets.split(), SHARED_TARGETS)]
        for trait in [case.operator, *shared] if case.operator else shared:
            parents[root(place)] = root(first.setdefault(trait, place))
    groups: dict[int, list[CaseTraits]] = defaultdict(list)
    for place, case in enumerate(cases):
        groups[root(place)].append(case)
    return groups.values()


def _linked_key(cases: Sequence[CaseTraits]) -> str:
    """Return the key of linked cases: their largest operator, else the list they had before."""
    operators = Counter(case.operator for case in cases if case.operator)
    lists = Counter(case.campaign for case in cases if case.campaign.startswith(LIST))
    if counts := operators or lists:
        return min(counts, key=lambda key: (-counts[key], key))
    return f"{LIST}{min(case.id for case in cases)}"


def store_campaigns() -> int:
    """Group all cases that wait; return how many changed their campaign."""
    waiting = ReviewCase.objects.filter(state=ReviewCase.OPEN, idle=False).order_by("id")
    cases = [CaseTraits(*row) for row in waiting.values_list(*CaseTraits._fields).iterator()]
    keys = campaign_keys(cases)
    moved: Mapping[str, list[int]] = defaultdict(list)
    for case in cases:
        if keys[case.id] != case.campaign:
            moved[keys[case.id]].append(case.id)
    for key, ids in moved.items():
        for begin in range(0, len(ids), BATCH):
            ReviewCase.objects.filter(id__in=ids[begin : begin + BATCH]).update(campaign=key)
    return sum(map(len, moved.values()))
