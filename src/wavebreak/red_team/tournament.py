"""A match: rounds of one arena, between which every family searches for what gets more through."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from cmaes._cma import CMA

from wavebreak import engine, simulation
from wavebreak.engine import Engine
from wavebreak.errors import UsageError
from wavebreak.evaluation import Evaluation
from wavebreak.model import Model
from wavebreak.privacy.pseudonymizer import Edge
from wavebreak.red_team.config import Terms
from wavebreak.red_team.feedback import Telling
from wavebreak.red_team.metrics import Count, cost, count, keep_round, named
from wavebreak.red_team.round import Bout, Entry, Ground, Played, bout, lay
from wavebreak.red_team.search_space import at, dials_of, moves, places
from wavebreak.rules import Policy
from wavebreak.schema.events import WIRE_SCHEMA
from wavebreak.simulation.attackers import PRESETS, TOOL_PRESETS, Preset, Sender
from wavebreak.simulation.log import Floats
from wavebreak.simulation.world import BATCH

FEWEST = 4
"""Fewest candidates of a generation; an operator then has fewer accounts than `EACH`."""

EACH = 5
"""Accounts of one operator; a family's accounts are shared out over operators of about so many."""

STEP = 0.2
"""First step of the search, as a share of a dial."""

FAMILIES: dict[str, Preset] = PRESETS | TOOL_PRESETS


@dataclass(frozen=True)
class Setting:
    """What is played: families by name, accounts of each, people, days, rounds of adaptation."""

    families: tuple[str, ...]
    accounts: int = 20
    people: int = 2500
    days: float = 7.0
    rounds: int = 5
    seed: int = 0
    telling: Telling = "delayed"


@dataclass(frozen=True)
class Round:
    """One round: what it was for, and its counts by family."""

    name: str
    telling: Telling
    events: int
    counts: dict[str, Count]


@dataclass(frozen=True)
class Match:
    """All rounds; what the adapted senders do; and the last round against its labels."""

    setting: Setting
    rounds: list[Round]
    moves: dict[str, str]
    senders: dict[str, Sender]
    found: Evaluation
    versions: dict[str, str | None]

    def as_json(self) -> dict[str, Any]:
        """Give the match as plain JSON values."""
        rounds = [
            {
                "name": r.name,
                "telling": r.telling,
                "events": r.events,
                "families": {
                    n: asdict(c) | {"per_thousand": _or_none(c.per_thousand)}
                    for n, c in r.counts.items()
                },
            }
            for r in self.rounds
        ]
        return {
            "setting": asdict(self.setting),
            "versions": self.versions,
            "rounds": rounds,
            "moves": self.moves,
            "senders": {name: asdict(sender) for name, sender in self.senders.items()},
            "personas": {name: asdict(p) for name, p in self.found.personas.items()},
        }


def _or_none(value: float) -> float | None:
    return None if value != value else value


def chosen(names: Sequence[str]) -> tuple[str, ...]:
    """Return families by name: none means every tactic and the combination.

    Raises UsageError for a name that is not known.
    """
    if unknown := [name for name in names if name not in FAMILIES]:
        raise UsageError(
            f"{len(unknown)} of the families are not known",
            fix=f"choose from {', '.join(FAMILIES)}",
        )
    return tuple(dict.fromkeys(names)) or tuple(PRESETS)


class Search:
    """One family's search over its dials; its operators play the candidates side by side."""

    def __init__(self, family: str, sender: Sender, setting: Setting, terms: Terms) -> None:
        self.family, self.sender = family, sender
        self.count = min(setting.accounts, max(FEWEST, min(8, setting.accounts // EACH)))
        self.dials = dials_of(sender, terms)
        self.start = places(sender, self.dials)
        seed = setting.seed * 1009 + sum(map(ord, family))
        bounds = np.array([[0.0, 1.0]] * len(self.dials))
        self._cma = CMA(self.start, STEP, bounds=bounds, seed=seed, population_size=self.count)
        self._asked: list[Floats] = []

    def ask(self) -> list[Sender]:
        """Return the next candidates."""
        self._asked = [self._cma.ask() for _ in range(self.count)]
        return [at(self.sender, self.dials, where) for where in self._asked]

    def tell(self, gains: Sequence[float]) -> None:
        """Learn what the candidates got through for a dollar each."""
        self._cma.tell([(x, -gain) for x, gain in zip(self._asked, gains, strict=True)])

    def best(self) -> Sender:
        """Return the sender that the search has come to."""
        return at(self.sender, self.dials, np.clip(self._cma.mean, 0, 1))


def gain(played: Played, terms: Terms) -> float:
    """Return acts delivered for a dollar."""
    return sum(played.delivered.values()) / max(cost(played, terms.price), 0.01)


class _Play:
    """What all rounds of a match share."""

    def __init__(
        self,
        setting: Setting,
        policy: Policy,
        edge: Edge,
        terms: Terms,
        model: Model | None,
        out: Path,
        progress: Callable[[float, str], None],
    ) -> None:
        self.setting, self.policy, self.edge, self.terms = setting, policy, edge, terms
        self.model, self.out, self.progress = model, out, progress
        self.rounds: list[Round] = []
        self.all = setting.rounds + 3
        self.show("the world")
        self.ground: Ground = lay(people=setting.people, days=setting.days, seed=setting.seed)

    def show(self, words: str, share: float = 0.0) -> None:
        """Tell how far the match is."""
        self.progress(min(1.0, (len(self.rounds) + share) / self.all), words)

    def entries(self, senders: dict[str, list[Sender]]) -> list[Entry]:
        """Share a family's accounts out over its operators."""
        found = []
        for family, candidates in senders.items():
            shares = np.array_split(np.arange(self.setting.accounts), len(candidates))
            found += [
                Entry(family, f"{family}-{k + 1}", sender, max(1, len(share)))
                for k, (sender, share) in enumerate(zip(candidates, shares, strict=True))
            ]
        return found

    def round(
        self, name: str, senders: dict[str, list[Sender]], telling: Telling, *, keep: bool = False
    ) -> tuple[Bout, Evaluation]:
        """Play one round and count it."""
        number = len(self.rounds)
        engine = Engine(self.policy, enforce=True, accounts=1 << 15, model=self.model)
        played = bout(
            self.ground,
            self.entries(senders),
            engine,
            self.edge,
            self.terms,
            telling=telling,
            seed=(self.setting.seed, min(number, self.setting.rounds + 1)),
            keep=keep,
            progress=lambda share: self.show(name, share),
        )
        where = self.out / "rounds" / str(number)
        found = keep_round(played, engine, where)
        counts = count(played, found, self.terms.price, where)
        self.rounds.append(Round(name, telling, played.events, counts))
        return played, found


def play(
    setting: Setting,
    policy: Policy,
    edge: Edge,
    terms: Terms,
    out: Path,
    *,
    model: Model | None = None,
    progress: Callable[[float, str], None] = lambda _share, _words: None,
) -> Match:
    """Play a match and write into `out` its last round as events, labels, decisions, accounts.

    Round 0 plays every family as its preset has it; then come the rounds of adaptation, each a
    generation of the search; then the adapted senders are played, as they are told by `setting`
    and, for comparison, told at once (or, where they are, late). The same arguments give the same
    bytes.
    """
    table = _Play(setting, policy, edge, terms, model, out, progress)
    presets = {name: FAMILIES[name].sender for name in setting.families}
    searches = {n: Search(n, sender, setting, terms) for n, sender in presets.items()}
    as_presets = {n: [sender] * searches[n].count for n, sender in presets.items()}
    table.round("before adaptation", as_presets, setting.telling)
    for number in range(setting.rounds):
        candidates = {n: search.ask() for n, search in searches.items()}
        played, _ = table.round(f"adaptation {number + 1}", candidates, setting.telling)
        for name, search in searches.items():
            teams = [team for team in played.played if team.entry.family == name]
            search.tell([gain(team, terms) for team in teams])
    adapted = {
        n: search.best() if setting.rounds else search.sender for n, search in searches.items()
    }
    last = {n: [sender] * searches[n].count for n, sender in adapted.items()}
    final, found = table.round("adapted", last, setting.telling, keep=True)
    other: Telling = "delayed" if setting.telling == "instant" else "instant"
    table.round(f"adapted, told {other}", last, other)
    _write(final, table, out)
    words = {n: moves(presets[n], adapted[n], searches[n].dials) for n in presets}
    versions = {
        "policy": policy.version,
        "model": None if model is None else model.version,
    }
    return Match(setting, table.rounds, words, adapted, found, versions)


def _write(final: Bout, table: _Play, out: Path) -> None:
    """Write the last round as a world, and run the pipeline over it as over any other log."""
    whole = pa.Table.from_batches(final.kept, schema=WIRE_SCHEMA).combine_chunks()
    about = {"arena": asdict(table.setting)} | table.ground.about
    labels = named(final.labels)
    world = simulation.World(labels, about, lambda size: iter(whole.to_batches(size or BATCH)))
    simulation.write(world, out)
    table.show("the last round, as a log")
    engine.run(out, out, table.policy, table.edge, enforce=True, model=table.model)


def save(match: Match, out: Path) -> None:
    """Write `arena.json`."""
    text = json.dumps(match.as_json(), indent=1, ensure_ascii=False)
    (out / "arena.json").write_text(text + "\n", encoding="utf-8")
