"""Command `learn`: a score from a service's own log, and what the last week taught."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from wavebreak.cli.app import app
from wavebreak.cli.console import out, print_json, print_next_steps, styled
from wavebreak.cli.options import Json, Wide
from wavebreak.errors import UsageError
from wavebreak.extras import load_home_fit
from wavebreak.reports.tables import Table, print_table
from wavebreak_server.cli.service_home import Home, service_command, service_engine

if TYPE_CHECKING:
    from wavebreak_server.slices.learning.service import LearnedScore


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
    report: Annotated[
        bool, typer.Option("--report", help="Only print what the last week taught.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Only check the scores that are in shadow or act.")
    ] = False,
    as_json: Json = False,
    wide: Wide = False,
) -> None:
    """Learn a score from a service's own log, as the service does every week.

    It acts on nobody until it has held in shadow; the service promotes it, and rolls it back.
    """
    from wavebreak_server.slices.learning import service as learning

    if not report:
        # The service goes on beside it.
        os.nice(10)
        _learn(home, check=check)
    scores = learning.read_state(home.path).scores
    if as_json:
        print_json(msgspec.to_builtins(scores))
    elif scores:
        _print(scores[-1], learning.sentences(scores[-1]))
        print_next_steps(["in the console: Policy, Learning"])
    else:
        raise UsageError("nothing was learned yet", fix=f"run `wavebreak learn {home.path}`")


def _learn(home: Home, *, check: bool) -> None:
    """Learn or check, and write the state, which the service carries out."""
    import time

    from wavebreak.evaluation.home_learning import load_terms
    from wavebreak.model import load_selected
    from wavebreak_server.slices.learning import service as learning
    from wavebreak_server.slices.versions.policy_replay import MOST_EVENTS, service_log
    from wavebreak_server.storage import event_log

    asked, now_ms = home.decisions, time.time_ns() // 1_000_000
    fit = None if check else load_home_fit()
    home.connect(reading=True)
    terms, end = load_terms(asked.policy), event_log.log_end()
    first = max(event_log.log_start().position, end - MOST_EVENTS)
    work = learning.check if check else partial(learning.learn, fit=fit)
    log = service_log(first, end)
    engine = service_engine(asked, asked.policy, load_selected(asked.model), record=True)
    state = work(home=home.path, engine=engine, log=log, terms=terms, now_ms=now_ms)
    learning.write_state(home.path, state)


def _print(score: LearnedScore, sentences: list[tuple[str, list[str]]]) -> None:
    """Print what a week taught."""
    out.print(styled("[bold]Week {}[/] {}", score.number, score.name))
    for heading, lines in sentences:
        out.print(styled("[bold]{}[/]", heading))
        for line in lines:
            out.print(f"  {line}", markup=False, highlight=False)
    if score.lesson.groups:
        rows = [
            (g.age, g.answered, f"{g.accounts:,}", f"{g.met:,}", f"{g.by_tests:,}")
            for g in score.lesson.groups
        ]
        headings = ("age", "strangers who answered", "accounts", "met", "by the tests")
        print_table(Table("Whom it would have met", headings, rows, words=frozenset({0, 1})), out)
