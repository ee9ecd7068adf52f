"""Acts on a case, each declared once: its fields, their limits and words, its guard, its effect.

A command of `wavebreak case`, a form of the console and its entry in the audit log follow from a
declaration; the entries of the ledger and the lines of a case's history follow from the steps that
an act takes (`cases.steps`). Neither Django nor typer is known here: `cli.cases` makes commands of
acts, `pages.forms` makes forms of them.
"""

from __future__ import annotations

from collections.abc import Mapping

from wavebreak_cases.acts import evidence, notices, parties, progress
from wavebreak_cases.acts.declaration import Act

ACTS: Mapping[str, Act] = {
    act.name: act for act in (*progress.ACTS, *parties.ACTS, *evidence.ACTS, *notices.ACTS)
}
"""The acts by their names."""
