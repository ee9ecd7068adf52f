"""Why a decision was made: what its rules read, and what a model made of it."""

from __future__ import annotations

from typing import Any

from wavebreak.explain.gathering import Explanation
from wavebreak.features.catalog import FEATURES
from wavebreak.model import in_words, speaks
from wavebreak.pages import Table, moment, number, span

_FEATURES = {feature.name: feature for feature in FEATURES}
_SAID = 3


def decided_by(decision: dict[str, Any]) -> list[str]:
    """Name what decided: its rules, else the model, else nothing of either.

    >>> decided_by({"rules": ["blast"], "score": 0.9}), decided_by({"rules": [], "score": 0.987})
    (['blast'], ['the model (0.987)'])
    """
    if decision.get("rules"):
        return list(decision["rules"])
    score = decision.get("score")
    return ["–"] if score is None else [f"the model ({number(score, 3)})"]


def by_model(decision: dict[str, Any]) -> str:
    """Say what a model made of a decision that no rule made: its score, its weightiest reasons.

    >>> by_model({"score": 0.987, "reasons": [
    ...     {"feature": "first_contacts_1h", "value": 31.0, "contribution": 1.5}]})
    ' by the model (score 0.987; first contacts in 1 h: 31 accounts (speaks for abuse))'
    """
    if decision.get("rules") or decision.get("score") is None:
        return ""
    weighed = [r for r in decision.get("reasons") or [] if r.get("contribution") is not None]
    said = [
        in_words(r["feature"], value_in_words(r["feature"], r["value"]), r["contribution"])
        for r in weighed[:_SAID]
    ]
    told = [f"score {number(decision['score'], 3)}", *said]
    return f" by the model ({'; '.join(told)})"


def value_in_words(name: str, value: float | None) -> str:
    """Write a feature's value with its unit.

    >>> value_in_words("sends_15s", 112.0), value_in_words("first_contact_share_1d", 0.954)
    ('112 messages', '95.4 %')
    >>> value_in_words("account_age", None), value_in_words("not_a_feature", 0.12345)
    ('missing', '0.123')
    """
    if value is None or value != value:
        return "missing"
    unit = _FEATURES[name].unit if name in _FEATURES else ""
    if unit == "share":
        return f"{number(100 * value)} %"
    if unit == "seconds":
        return span(value * 1_000)
    if unit == "hours":
        return span(value * 3_600_000)
    if unit == "0 or 1":
        return "yes" if value else "no"
    bare = unit in ("", "code", "ratio", "correlation")
    return number(value, 3) if bare else f"{number(value, 2)} {unit}"


def reasons_table(explanation: Explanation, decision: dict[str, Any]) -> Table:
    """List the values of features that fired one decision's rules."""
    rows = []
    for reason in decision.get("reasons") or []:
        name = str(reason["feature"])
        meaning = _FEATURES[name].meaning if name in _FEATURES else ""
        rows.append(
            (
                name,
                value_in_words(name, reason.get("value")),
                _weight(reason.get("contribution")),
                meaning,
            )
        )
    at = moment(int(decision["ts"]), since=explanation.start_ms)
    what = "What fired" if decision.get("rules") else "What the model saw"
    return Table(
        f"{what}: {decision['outcome']}, {at}",
        ("feature", "value", "model", "meaning"),
        rows,
        f"Triggered by event {decision.get('trigger') or 'unknown'}; decision {decision['id']}.",
        frozenset({0, 2, 3}),
    )


def _weight(contribution: float | None) -> str:
    """Say what a model made of a value, in log-odds; nothing where only a rule read it."""
    if contribution is None:
        return ""
    return f"{speaks(contribution)} ({contribution:+.2f})"
