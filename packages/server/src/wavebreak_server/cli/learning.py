"""Command `learn`: a score and ceilings of complaints from a service's own log."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec
from django.db import transaction

from wavebreak import model
from wavebreak.cli.app import app
from wavebreak.cli.commands import Output
from wavebreak.cli.console import styled
from wavebreak.durable_files import replace_file
from wavebreak.errors import UsageError
from wavebreak.evaluation import asked_labels, home_learning
from wavebreak.extras import load_home_fit
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.privacy.secret_key import load_key
from wavebreak.reports.tables import Table
from wavebreak_server.cli import service_home
from wavebreak_server.slices.learning import service as learning
from wavebreak_server.slices.versions import replay
from wavebreak_server.storage import event_log, ownership


@service_home.service_command(
    app,
    "wavebreak learn var",
    "wavebreak learn var --report",
    "wavebreak learn var --check",
    "wavebreak learn var --ask 60 --questions asked.csv",
    "wavebreak learn var --labels asked.csv --url https://wb.example --key-file key",
    reads="policy model enforce profile lateness key database",
)
def learn(
    home: service_home.Home,
    *,
    report: Annotated[bool, "Only print what the last week taught."] = False,
    check: Annotated[bool, "Only check the scores that are in shadow or act."] = False,
    ask: Annotated[int | None, "Only draw so many accounts for reviewers (60 a week)."] = None,
    questions: Annotated[Path, "Where --ask writes them."] = Path("questions.csv"),
    labels: Annotated[
        Path | None, "Only take answers: the file of --ask, labels filled in."
    ] = None,
    url: Annotated[str, "With --labels: URL of the API of the running service."] = "",
    key_file: Annotated[Path | None, "File (mode 0600) of its API key, scope override."] = None,
) -> Output:
    """Learn a score and ceilings of complaints from a service's own log, as it does every week.

    The score acts on nobody until it has held in shadow; the service promotes it, and rolls it
    back. Ceilings become a version of the policy, which a person replays and approves.

    Where strangers hardly complain, let reviewers answer: --ask draws accounts with known chances,
    reviewers write abusive or benign beside each, without a score, and --labels puts the answers
    in the log. An answer teaches and is observed; it decides nothing, and a person who opens the
    case does. The next week that is learned draws its line from the answers, with its interval.
    """
    if ask is not None:
        return _ask(home, ask, questions)
    if labels is not None:
        return _take_answers(home, labels, url, key_file)
    if not report:
        # The service goes on beside it.
        os.nice(10)
        now_ms = service_home.clock_ms()
        work = learning.check if check else partial(learning.learn, fit=load_home_fit())
        learning.write_state(home.path, work(**_own_log(home), now_ms=now_ms))
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


def _ask(home: service_home.Home, number: int, path: Path) -> Output:
    """Draw accounts for reviewers, and write them to a file."""
    if not 1 <= number <= asked_labels.MAX_QUESTIONS:
        raise UsageError(
            f"--ask {number} is out of range", fix=f"give 1 to {asked_labels.MAX_QUESTIONS:,}"
        )
    os.nice(10)
    drawn = learning.ask(**_own_log(home), number=number)
    if not drawn:
        raise UsageError("there is nobody new to ask about", fix="wait for more first messages")
    replace_file(path, asked_labels.questions_csv(drawn).encode(), mode=0o600)
    return Output(
        {"questions": msgspec.to_builtins(drawn), "file": str(path)},
        f"{path} has {len(drawn):,} accounts: write abusive or benign beside each",
        steps=[f"wavebreak learn {home.path} --labels {path}"],
    )


def _take_answers(home: service_home.Home, path: Path, url: str, key_file: Path | None) -> Output:
    """Put answers of reviewers into the log as their labels."""
    answers = asked_labels.read_answers(path, learning.read_questions(home.path))
    said = {account: label for account, (label, _) in answers.items()}
    reviewers = sorted({by for _, by in answers.values() if by})
    reason = ", ".join(["answers of reviewers", *reviewers])[:400]
    if url:
        rows = [{"account": a, "label": v, "source": "sample"} for a, v in said.items()]
        body = {"labels": rows, "reason": reason}
        replace(home, url=url, key_file=key_file).call("label", body=body)
    else:
        if owner := ownership.running_owner(home.path):
            raise UsageError(
                f"the service runs ({owner})",
                fix="give --url URL and --key-file FILE, or stop it",
            )
        edge = Pseudonymizer(load_key(home.key))
        home.connect()
        with ownership.owned(home.path):
            service_home.bind_deployment_key(home.options)
            now_ms = service_home.clock_ms()
            with transaction.atomic():
                learning.store_answers(
                    home.path, edge, said, now_ms=now_ms, by=service_home.BY, reason=reason
                )
    counts = {word: list(said.values()).count(word) for word in ("abusive", "benign")}
    return Output(
        {"labels": len(said), **counts},
        f"{len(said):,} answers are labels in the log: {counts['abusive']:,} abusive, "
        f"{counts['benign']:,} benign",
        steps=[f"wavebreak learn {home.path}"],
    )


def _own_log(home: service_home.Home) -> dict[str, Any]:
    """Return what a look at the service's own log needs."""
    decisions = home.decisions
    home.connect(reading=True)
    end = event_log.log_end()
    first = max(event_log.log_start().position, end - replay.MOST_EVENTS)
    engine = service_home.service_engine(
        decisions, decisions.policy, model.load_selected(decisions.model), record=True
    )
    return {
        "home": home.path,
        "engine": engine,
        "log": replay.service_log(first, end),
        "terms": home_learning.load_terms(decisions.policy),
    }
