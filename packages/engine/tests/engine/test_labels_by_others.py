"""Labels of honeypots and partners: they are observed, and decide, end and withdraw nothing."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from support.parity_streams import HOUR, MINUTE, START, log
from wavebreak import rules
from wavebreak.engine import Engine
from wavebreak.engine.decision import Decision
from wavebreak.features.catalog import NAMES
from wavebreak.outcomes import OUTCOMES
from wavebreak.schema.events import LABELS, PERSONS, SOURCES, TYPES

OTHERS = [source for source in SOURCES if source not in PERSONS]


class Account:
    """An account with an answered chat, and the shipped policy."""

    def __init__(self) -> None:
        self.engine = Engine(rules.load_policy(), accounts=64)
        self.number = 0
        self._take("message.sent", 0, peer="b")
        self._take("message.sent", MINUTE, account="b", peer="a")

    def _take(self, kind: str, at: int, **fields: Any) -> list[Decision]:
        self.number += 1
        row = {"id": f"e{self.number}", "ts": START + at, "account": "a"} | fields
        return self.engine.take(log([row | {"type": TYPES.index(kind)}]))

    def labelled(self, label: str, source: str, at: int, **fields: Any) -> list[Decision]:
        given = {"label": LABELS.index(label), "source": SOURCES.index(source)} | fields
        return self._take("label.assigned", at, **given)

    def value(self, feature: str) -> float:
        slot = int(self.engine.fanout.accounts.find(pa.array(["a"]))[0])
        return float(self.engine.core.values_of(slot)[NAMES.index(feature)])

    @property
    def outcome(self) -> str:
        slot = int(self.engine.fanout.accounts.find(pa.array(["a"]))[0])
        return OUTCOMES[int(self.engine.core.row_of(slot)["enforcement"])]


def test_persons_are_analysts_and_who_decides_appeals() -> None:
    assert PERSONS == ("analyst", "appeal")
    assert OTHERS == ["honeypot", "partner", "sample"]


@pytest.mark.parametrize("source", OTHERS)
def test_label_abusive_by_others_observes(source: str) -> None:
    of = Account()
    (made,) = of.labelled("abusive", source, HOUR)
    assert (made.outcome, made.basis, made.rules) == ("observe", "doubt", ("label_by_others",))
    assert (of.value("label_abusive"), of.value("label_unconfirmed")) == (0, 1)
    assert made.until is not None


@pytest.mark.parametrize("source", PERSONS)
def test_label_abusive_by_a_person_bans(source: str) -> None:
    of = Account()
    (made,) = of.labelled("abusive", source, HOUR)
    assert (made.outcome, made.basis, made.rules) == ("ban", "person", ("confirmed_abusive",))


@pytest.mark.parametrize("source", OTHERS)
def test_label_by_others_does_not_lift_a_persons_ban(source: str) -> None:
    of = Account()
    of.labelled("abusive", "analyst", HOUR)
    for n, label in enumerate(("benign", "undetermined"), 2):
        assert of.labelled(label, source, n * HOUR) == []
    lifted = {"outcome": OUTCOMES.index("allow")}
    assert of.labelled("undetermined", source, 4 * HOUR, **lifted) == []
    assert (of.outcome, of.value("label_abusive"), of.value("label_benign")) == ("ban", 1, 0)


@pytest.mark.parametrize("source", OTHERS)
def test_outcome_that_others_ask_for_is_not_set(source: str) -> None:
    of = Account()
    asked = {"outcome": OUTCOMES.index("ban")}
    assert of.labelled("undetermined", source, HOUR, **asked) == []
    assert of.outcome == "allow"


def test_label_by_others_is_withdrawn_by_them_or_a_person() -> None:
    of = Account()
    for n, (label, source) in enumerate(
        (("benign", "partner"), ("undetermined", "honeypot"), ("benign", "analyst"))
    ):
        of.labelled("abusive", "partner", (1 + 2 * n) * HOUR)
        assert of.value("label_unconfirmed") == 1
        of.labelled(label, source, (2 + 2 * n) * HOUR)
        assert of.value("label_unconfirmed") == 0
