"""Command `learn`: a score and ceilings of complaints from a service's own log."""

from __future__ import annotations

import os
import time
from functools import partial
from typing import Annotated, Any

import msgspec

from wavebreak import model
from wavebreak.cli.app import app
from wavebreak.cli.commands import Output
from wavebreak.cli.console import styled
from wavebreak.errors import UsageError
from wavebreak.evaluation import home_learning
from wavebreak.extras import load_home_fit
from wavebreak.reports.tables import Table
from wavebreak_server.cli.service_home import Home, service_command, service_engine
from wavebreak_server.slices.learning import service as learning
from wavebreak_server.slices.versions import policy_replay
from wavebreak_server.storage import event_log


@service_command(
    app,
    "wavebreak learn var",
    "wavebreak learn var --report",
    "wavebreak learn var --check",
    reads="policy model enforce profile lateness database",
)
def learn(
    home: Home,
    *,
    report: Annotated[bool, "Only print what the last week taught."] = False,
    check: Annotated[bool, "Only check the scores that are in shadow or act."] = False,
) -> Output:
    """Learn a score and ceilings of complaints from a service's own log, as it does every week.

    The score acts on nobody until it has held in shadow; the service promotes it, and rolls it
    back. Ceilings become a version of the policy, which a person replays and approves.
    """
    if not report:
        # The service goes on beside it.
        os.nice(10)
        _learn(home, check=check)
    state = learning.read_state(home.path)
    scores = state.scores
    if not scores:
        raise UsageError("nothing was learned yet", fix=f"run `wavebreak learn {home.path}`")
    score = scores[-1]
    parts: list[Any] = [styled("[bold]Week {}[/] {}", score.number, score.name)]
    for heading, lines in learning.sentences(score):
        parts += [styled("[bold]{}[/]", heading), *(f"  {line}" for line in lines)]
    if score.lesson.groups:
        rows = [
            (g.age, g.answered, f"{g.accounts:,}", f"{g.met:,}", f"{g.by_tests:,}")
            for g in score.lesson.groups
        ]
        headings = ("age", "strangers who answered", "accounts", "met", "by the tests")
        parts.append(Table("Whom it would have met", headings, rows, words=frozenset({0, 1})))
    if state.ceilings is not None:
        parts.append(_ceilings_table(state.ceilings))
    return Output(msgspec.to_builtins(state), *parts, steps=["in the console: Policy, Learning"])


def _ceilings_table(proposal: learning.CeilingProposal) -> Table:
    headings = ("ceiling", "accounts", "now", "proposed", "95 % interval", "limited\nnow → then",
                "silenced\nnow → then")  # fmt: skip
    rows = [
        (
            ceiling.name,
            f"{ceiling.accounts:,}",
            f"{ceiling.now:g}",
            f"{ceiling.proposed:g}" if ceiling.changed else "kept",
            "–" if ceiling.interval is None else "{:.4f} to {:.4f}".format(*ceiling.interval),
            "{:,} → {:,}".format(*ceiling.limited),
            "{:,} → {:,}".format(*ceiling.silenced),
        )
        for ceiling in proposal.ceilings
    ]
    note = f"Proposed as {proposal.version}." if proposal.version else ""
    return Table("Ceilings of complaints", headings, rows, note)


def _learn(home: Home, *, check: bool) -> None:
    """Learn or check, and write the state, which the service carries out."""
    decisions, now_ms = home.decisions, time.time_ns() // 1_000_000
    work = learning.check if check else partial(learning.learn, fit=load_home_fit())
    home.connect(reading=True)
    end = event_log.log_end()
    first = max(event_log.log_start().position, end - policy_replay.MOST_EVENTS)
    state = work(
        home=home.path,
        engine=service_engine(
            decisions, decisions.policy, model.load_selected(decisions.model), record=True
        ),
        log=policy_replay.service_log(first, end),
        terms=home_learning.load_terms(decisions.policy),
        now_ms=now_ms,
    )
    learning.write_state(home.path, state)
