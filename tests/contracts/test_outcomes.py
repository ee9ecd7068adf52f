"""Every consumer of outcomes has an answer for each; an empty cell names the two."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import fields
from functools import cache
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from support.notice_decisions import decision
from wavebreak import outcomes
from wavebreak.engine.decision import STRONG, ScoreNumbers, Terms, pack_policy, score_outcome
from wavebreak.engine.enforcement import refuses
from wavebreak.errors import UsageError
from wavebreak.evaluation.metrics import Persona
from wavebreak.features.account_updates import eased_outcome, note_eased_outcome
from wavebreak.features.layout import (
    EASED_BITS,
    LEVEL_PLACE,
    RANK,
    REFUSES,
    SCORE_LEVELS,
    SCORED,
)
from wavebreak.languages import LANGUAGES
from wavebreak.notices import build_statement, dsa, get_language, load_platform
from wavebreak.notices.short_texts import short_notices
from wavebreak.outcomes import TABLE, OutcomeRow, Refusal
from wavebreak.reports.charts import TONE_COLOURS
from wavebreak.rules import load_policy
from wavebreak.schema.event_kinds import KINDS
from wavebreak_cases.bundles.report_text import ReportText
from wavebreak_lab.simulation.attackers.config import ENDS, REFUSALS
from wavebreak_lab.training.config import Tolerance
from wavebreak_server.slices.config import load_config

ROOT = Path(__file__).resolve().parents[2]


@cache
def _text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def _named_in(path: str, name: str) -> set[str]:
    """The outcomes in the table or set of that name in a source of another language."""
    found = re.search(rf"\b{name}\b[^=\n]*=\s*([^;]*?[\]}})])", _text(path))
    assert found is not None, f"{path} has no {name}"
    return set(re.findall(r"\b[a-z]+\b", found[1])) & {row.name for row in TABLE}


def _kernel(row: OutcomeRow) -> bool:
    """The kernel knows its rank and refusals, and has room for its code."""
    return (
        RANK[row.code] == row.rank
        and REFUSES[row.code] == row.refuses
        and row.code == _eased(row.code)
        and LEVEL_PLACE[row.code] in (SCORED, *range(len(SCORE_LEVELS)))
    )


def _eased(code: int, marks: int = 0) -> int:
    """The code that the record of an account holds, after it was noted among other marks."""
    rare = SimpleNamespace(spare=marks)
    note_eased_outcome.py_func(rare, code)  # type: ignore[attr-defined]
    assert rare.spare & ~EASED_BITS == marks & ~EASED_BITS
    assert rare.spare < 256, "one byte"
    return int(eased_outcome.py_func(rare))  # type: ignore[attr-defined]


def _refusals(row: OutcomeRow) -> bool:
    """A first message, a message in a chat and reading are refused as the table says."""
    sent, received = KINDS.index("sent"), KINDS.index("reported")
    refused = (
        refuses(row.code, sent, 0, 0, 0, 1),
        refuses(row.code, sent, 1, 0, 0, 1),
        refuses(row.code, sent, 1, 0, 1, 1),
    )
    return (
        not refuses(row.code, received, 0, 0, 0, 0)
        and refused
        == {
            Refusal.NOTHING: (0, 0, 0),
            Refusal.BEYOND_ALLOWANCE: (0, 0, 1),
            Refusal.NEW_CHATS: (0, 1, 1),
            Refusal.EVERY_ACT: (1, 1, 1),
        }[row.refuses]
    )


def _statement(row: OutcomeRow) -> bool:
    made = decision(row.name)
    at = made["ts"] + 1
    written = [
        build_statement(made, platform=load_platform(), language=get_language(code), now_ms=at)
        for code in LANGUAGES
    ]
    return len({statement.title for statement in written}) == len(LANGUAGES)


def _notice(row: OutcomeRow) -> bool:
    return (set(short_notices(row.name, None)) == set(LANGUAGES)) == row.notified


def _transparency_database(row: OutcomeRow) -> bool:
    """A measure has a record; a challenge is none, since its holder ends it at once."""
    measure = outcomes.reaches(row.name, "limit")
    return measure == (row.name in dsa.RESTRICTIONS)


def _explanation(row: OutcomeRow) -> bool:
    return bool(row.label and row.state and row.refusal_words and row.end_words)


def _policy(row: OutcomeRow) -> bool:
    action = load_policy().actions[row.name]
    return action.outcome == row.name and bool(action.about and action.revert)


def _simulator(row: OutcomeRow) -> bool:
    """A sender of the simulator pauses, ends, or solves a challenge; or it perceives nothing."""
    answered = row.name in (*REFUSALS, *ENDS, "challenge")
    return answered == row.perceptible


def _evaluation(row: OutcomeRow) -> bool:
    return _is_calm(row) or row.state in {field.name for field in fields(Persona)}


def _training(row: OutcomeRow) -> bool:
    """How often a model may be wrong with it."""
    return row.name == "allow" or row.name in Tolerance.__struct_fields__


def _case_report(row: OutcomeRow) -> bool:
    every = [ReportText(language).of("outcomes", row.name) for language in LANGUAGES]
    return row.name not in every


def _console(row: OutcomeRow) -> bool:
    """The review queue weighs the harm of a false one."""
    return row.name == "allow" or row.name in load_config().queue.harm


def _colours(row: OutcomeRow) -> bool:
    styles = "".join(path.read_text("utf-8") for path in (ROOT / "frontend/src").rglob("*.css"))
    wanted = (f".pill-{row.tone} ", f'[data-tone="{row.tone}"]', f"--{row.tone}-soft:")
    return row.tone in TONE_COLOURS and all(each in styles for each in wanted)


def _graph(row: OutcomeRow) -> bool:
    return row.name in _named_in_record("frontend/src/graph.ts", "SHAPES")


def _named_in_record(path: str, name: str) -> set[str]:
    found = re.search(rf"const {name}\b.*?=\s*{{(.*?)}};", _text(path), re.DOTALL)
    assert found is not None
    return set(re.findall(r"(\w+):", found[1]))


def _forms(row: OutcomeRow) -> bool:
    """The console's script asks for a duration where the server needs one."""
    without_end = _named_in("frontend/src/lib/acts.ts", "WITHOUT_END")
    return (row.name in without_end) == (row.name not in outcomes.NEEDING_HOLD)


def _is_calm(row: OutcomeRow) -> bool:
    return row.refuses is Refusal.NOTHING


def _calm(row: OutcomeRow, calm: set[str]) -> bool:
    return (row.name in calm) == _is_calm(row)


def _python_client(row: OutcomeRow) -> bool:
    path = "clients/python/src/wavebreak_client/states.py"
    return row.name in _named_in(path, "OUTCOMES") and _calm(row, _named_in(path, "CALM"))


def _typescript_client(row: OutcomeRow) -> bool:
    path = "clients/typescript/src/states.ts"
    return row.name in _named_in(path, "OUTCOMES") and _calm(row, _named_in(path, "CALM"))


def _ejabberd(row: OutcomeRow) -> bool:
    path = "integrations/ejabberd/mod_wavebreak/src/mod_wavebreak_client.erl"
    return f'outcome(<<"{row.name}">>) ->' in _text(path)


def _prosody(row: OutcomeRow) -> bool:
    """Beside what it refuses by itself it asks the service; no challenge reaches it."""
    path = "integrations/prosody/mod_wavebreak/client.lib.lua"
    every, new = _named_in(path, "REFUSES_ALL"), _named_in(path, "REFUSES_NEW")
    return (
        (row.name in every) == (row.refuses is Refusal.EVERY_ACT)
        and (row.name == "challenge" or (row.name in new) == (row.refuses >= Refusal.NEW_CHATS))
        and _calm(row, _named_in(path, "CALM"))
    )


def _synapse(row: OutcomeRow) -> bool:
    """It cannot ask for a challenge, so that none reaches it."""
    path = "integrations/synapse/src/wavebreak_synapse/callbacks.py"
    enforced, silenced = _named_in(path, "ENFORCED"), _named_in(path, "SILENCED")
    every = (row.name in silenced) == (row.refuses is Refusal.EVERY_ACT)
    return every and (row.name == "challenge" or (row.name in enforced) == (not _is_calm(row)))


def _documentation(row: OutcomeRow) -> bool:
    return f"| `{row.name}` |" in _text("docs/explanation/decisions.md")


ENGINE = "packages/engine/src/wavebreak"
GENERATED = "run python clients/generate_events.py"
CONSUMERS: dict[str, tuple[Callable[[OutcomeRow], Any], str]] = {
    "kernel": (_kernel, f"{ENGINE}/features/layout.py"),
    "refusals": (_refusals, f"{ENGINE}/engine/enforcement.py"),
    "statement of reasons": (
        _statement,
        f"{ENGINE}/notices/statement.py and its translations",
    ),
    "short notice": (_notice, f"{ENGINE}/notices/short_texts.py"),
    "record of the transparency database": (
        _transparency_database,
        f"{ENGINE}/notices/dsa.py",
    ),
    "explanation": (_explanation, f"{ENGINE}/outcomes.py"),
    "action of the policy": (_policy, f"{ENGINE}/policy/actions.toml"),
    "simulator": (_simulator, "packages/lab/src/wavebreak_lab/simulation/attackers/config.py"),
    "evaluation": (_evaluation, f"{ENGINE}/evaluation/metrics.py"),
    "tolerance of a model": (
        _training,
        f"packages/lab/src/wavebreak_lab/training/config.py and {ENGINE}/policy/training.toml",
    ),
    "case report": (_case_report, f"{ENGINE}/policy/cases/report.toml"),
    "harm in the review queue": (_console, f"{ENGINE}/policy/console.toml"),
    "colours": (_colours, "frontend/src/styles, and reports/charts.py"),
    "graph of neighbours": (_graph, "frontend/src/graph.ts, then make assets"),
    "form of an act": (_forms, "frontend/src/lib/acts.ts, then make assets"),
    "Python client": (_python_client, GENERATED),
    "TypeScript client": (_typescript_client, GENERATED),
    "ejabberd": (_ejabberd, GENERATED),
    "Prosody": (_prosody, GENERATED),
    "Synapse": (_synapse, GENERATED),
    "documentation": (_documentation, "docs/explanation/decisions.md"),
}
"""Each consumer's answer to an outcome, and where it is given."""


def _empty_cells(consumer: str, rows: Iterable[OutcomeRow]) -> list[str]:
    """The outcomes for which a consumer has no answer, or another than the table."""
    answers, where = CONSUMERS[consumer]
    empty = []
    for row in rows:
        try:
            answered = answers(row)
        except (LookupError, AttributeError, UsageError):
            answered = False
        if not answered:
            empty.append(f"{row.name} × {consumer}: {where}")
    return empty


@pytest.mark.parametrize("consumer", CONSUMERS)
def test_a_consumer_has_an_answer_for_each_outcome(consumer: str) -> None:
    empty = _empty_cells(consumer, TABLE)
    assert empty == [], "\n".join(["empty cells:", *empty])


def test_an_outcome_that_is_in_the_table_alone_is_named_with_each_consumer() -> None:
    name = cast(outcomes.Outcome, "quiet")
    row = outcomes.row_of("restrict")._replace(code=len(TABLE), name=name, rank=15, state="slowed")
    answered = [consumer for consumer in CONSUMERS if not _empty_cells(consumer, [row])]
    # The others derive theirs from the row itself.
    assert answered == ["explanation", "colours"]
    assert _empty_cells("Prosody", [row]) == [f"quiet × Prosody: {GENERATED}"]


def test_records_of_accounts_have_room_for_sixteen_outcomes() -> None:
    """What is stored of the first seven stays: three bits from the second, and others beside."""
    assert [_eased(code, marks) for code in range(16) for marks in (0, 0b110001)] == [
        code for code in range(16) for _ in range(2)
    ]
    assert SCORE_LEVELS == (0, 1, 2, 3, 4), "places are stored: append, six at most"
    assert len(SCORE_LEVELS) < SCORED


def test_scores_ask_for_outcomes_that_have_a_place() -> None:
    for silent, takeover, margin in product((0, 1), (0, 1), range(0, 1_001, 100)):
        policy = pack_policy(
            [Terms(outcomes.CHALLENGE, 60, recovers=True)], suspend_after=3, double_at_most=4,
            score=ScoreNumbers({outcomes.OBSERVE: 100, outcomes.LIMIT: 400, STRONG: 900}, {}),
        )  # fmt: skip
        assert score_outcome(policy, margin, takeover, silent) in SCORE_LEVELS


def test_severities_are_those_that_policies_and_models_have_read() -> None:
    assert outcomes.SEVERITIES[:7] == (0, 1, 2, 3, 4, 5, 6)
    severest_last = sorted(TABLE, key=lambda row: outcomes.SEVERITIES[row.code])
    assert tuple(row.name for row in severest_last) == outcomes.BY_RANK


def test_there_are_seven_outcomes_and_their_codes_are_never_changed() -> None:
    stored = ["allow", "observe", "challenge", "limit", "restrict", "suspend", "ban"]
    assert [row.name for row in TABLE][:7] == stored
    assert outcomes.table_faults() == []
