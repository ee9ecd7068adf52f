"""Network of an operator: its accounts on a circle, and what ties them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wavebreak.linking import Operator
from wavebreak.outcomes import row_of
from wavebreak.reports.charts import (
    BLUE,
    EDGE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    TONE_COLOURS,
    Chart,
    figures,
)
from wavebreak.reports.tables import count_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_ACCOUNTS = 40
"""Accounts that are drawn, those with the heaviest ties first: more could not be told apart."""
MAX_NAME = 14
SIDE_IN = 6.4
TIE_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, EDGE)


@dataclass(frozen=True)
class Network(Chart):
    """Accounts with an outcome each, and ties between two of them with a weight and a kind."""

    accounts: Mapping[str, str]
    ties: tuple[tuple[str, str, int, str], ...]

    def _draw(self) -> tuple[Figure, str]:
        figure = figures.Figure(figsize=(SIDE_IN * 1.25, SIDE_IN), layout="constrained")
        axes = figure.subplots()
        axes.set_axis_off()
        axes.set_aspect("equal")
        angles = np.linspace(np.pi / 2, -1.5 * np.pi, len(self.accounts), endpoint=False)
        places = dict(zip(self.accounts, np.column_stack([np.cos(angles), np.sin(angles)]),
                          strict=True))  # fmt: skip
        kinds = list(dict.fromkeys(kind for *_, kind in self.ties))
        heaviest = max((weight for _, _, weight, _ in self.ties), default=1)
        names = set[str]()
        for first, second, weight, kind in self.ties:
            colour = TIE_COLOURS[min(kinds.index(kind), len(TIE_COLOURS) - 1)]
            ends = np.array([places[first], places[second]])
            label = None if kind in names else kind
            names.add(kind)
            width = 0.6 + 2.4 * weight / heaviest
            axes.plot(ends[:, 0], ends[:, 1], color=colour, lw=width, alpha=0.6, label=label,
                      zorder=1)  # fmt: skip
        for outcome in dict.fromkeys(self.accounts.values()):
            points = np.array([places[a] for a, worst in self.accounts.items() if worst == outcome])
            axes.scatter(points[:, 0], points[:, 1], s=70, color=TONE_COLOURS[row_of(outcome).tone],
                         edgecolors="white", label=outcome, zorder=2)  # fmt: skip
        for (account, (x, y)), angle in zip(places.items(), angles, strict=True):
            turn = np.degrees(angle)
            is_left = x < -1e-9
            name = account if len(account) <= MAX_NAME else f"{account[: MAX_NAME - 1]}…"
            axes.text(1.07 * x, 1.07 * y, name, rotation=turn + 180 if is_left else turn,
                      rotation_mode="anchor", ha="right" if is_left else "left", va="center",
                      size=8, color=INK)  # fmt: skip
        axes.set_xlim(-1.6, 1.6)
        axes.set_ylim(-1.45, 1.45)
        figure.legend(loc="outside right upper", frameon=False, fontsize=9)
        return figure, (
            f"{count_of(len(self.accounts), 'account')}, {count_of(len(self.ties), 'tie')}: "
            + "; ".join(f"{a} and {b}: {kind}" for a, b, _, kind in self.ties[:20])
        )


def operator_network(operator: Operator, outcomes: Mapping[str, str]) -> Network:
    """Return the network of an operator's accounts.

    Args:
        operator: The operator.
        outcomes: The worst outcome by account.
    """
    ties = sorted(operator.edges, key=lambda edge: (-edge.weight, edge.accounts))
    ranked = dict.fromkeys(
        [*(account for edge in ties for account in edge.accounts), *operator.accounts]
    )
    accounts_shown = sorted([*ranked][:MAX_ACCOUNTS], key=operator.accounts.index)
    edges_shown = tuple(
        (edge.accounts[0], edge.accounts[1], edge.weight, edge.evidence[0])
        for edge in ties
        if set(edge.accounts) <= set(accounts_shown)
    )
    omitted = len(operator.accounts) - len(accounts_shown)
    omission = f" {count_of(omitted, 'omission account')} are left out." if omitted else ""
    return Network(
        "operator",
        f"Operator {operator.id}",
        f"Accounts that seem to be of one hand, and the strongest tie of each pair. Colour of a "
        f"dot: the account's worst outcome; width of a line: the weight of the tie.{omission}",
        {account: outcomes.get(account, "allow") for account in accounts_shown},
        edges_shown,
    )
