"""One declaration of an act gives its command, form, steps, sealed entries, words and docs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from typer.testing import CliRunner

from support.console_harness import RunningConsole
from support.legal_cases import PAGE, SIGNER, act, case_visits, queried, served_case, text_of
from wavebreak.cli.app import app
from wavebreak.ledger.checkpoints import encode_verifier_key
from wavebreak_cases.acts import ACTS
from wavebreak_cases.acts.declaration import Act, Fault, Field, Option, Values, Work
from wavebreak_cases.acts.progress import drafted_values
from wavebreak_cases.bundles.case_draft import CaseDraft
from wavebreak_cases.bundles.report_text import ReportText
from wavebreak_cases.cases.case import Action, Case, Task, TaskAdded
from wavebreak_cases.cases.workflow import STEPS
from wavebreak_cases.cli.case_options import act_command, act_parameters, open_case_at
from wavebreak_cases.cli.cases import take_step
from wavebreak_cases.pages.demo_case import CASE_ID
from wavebreak_cases.pages.forms import act_form
from wavebreak_server.storage.models import AuditEntry
from wavebreak_server.texts import translate

DOCS = Path(__file__).parents[4] / "docs/how-to/build-a-case.md"
ROOT: Any = typer.main.get_command(app)
ROOT.load("case")
COMMANDS = ROOT.commands["case"].commands


def test_every_kind_of_step_has_a_row_and_words_in_each_language() -> None:
    assert set(get_args(Action)) == set(STEPS)
    for kind in STEPS.values():
        did: Any = kind.did
        tag = str(did.__struct_config__.tag)
        for language in ("en", "he"):
            assert ReportText(language).of("steps_done", tag), (kind.did, language)


@pytest.mark.parametrize("declared", ACTS.values(), ids=lambda declared: declared.name)
def test_every_act_has_a_command_a_form_steps_and_a_row_of_the_documentation(
    declared: Act,
) -> None:
    command = COMMANDS[declared.command]
    assert {each.name for each in command.params} >= set(act_parameters(declared.command))
    form = act_form(declared, Case("C-1", state="opened"), None, 0)
    on_form = [field.name for field in declared.fields if field.on_form]
    assert list(form.base_fields) == [*on_form, "reason"]
    assert [f.name for f in declared.fields if not f.on_form and f.option is None] == []
    kinds = [STEPS[step] for step in declared.steps]
    entries = ", ".join(dict.fromkeys(f"`{kind.entry}`" for kind in kinds if kind.entry)) or "–"
    words = ", ".join(kind.phrase for kind in kinds)
    row = f"| {declared.title} | `case {declared.command}` | {words} | {entries} |"
    assert row in DOCS.read_text("utf-8").splitlines()


def test_columns_of_a_batch_are_what_the_act_of_a_draft_asks_for() -> None:
    asked = act_parameters("draft").keys() - {"why"}
    assert asked == set(CaseDraft.__struct_fields__)
    draft = CaseDraft("Bulk Co", alias=("Bulk",))
    assert drafted_values(draft).keys() == {each.name for each in ACTS["draft_case"].fields}


def test_role_of_a_signer_is_not_that_of_who_names_the_signer(tmp_path: Path) -> None:
    place, key = str(tmp_path / "C-7"), str(tmp_path / "key")
    shared = ["--by", "Noa", "--seal-key", key]
    public = encode_verifier_key(SIGNER.key)
    for words in (["open", place, "--title", "x"], ["signer", place, "Levi", "--key", public]):
        assert CliRunner().invoke(app, ["case", *words, *shared]).exit_code == 0
    with open_case_at(tmp_path / "C-7", tmp_path / "key") as at:
        assert at.case.steps[-1].role == "investigator"
        assert [signer.role for signer in at.case.signers.values()] == ["counsel"]


def test_fault_of_a_pattern_is_a_sentence_with_the_value() -> None:
    faults = [field.fault for act in ACTS.values() for field in act.fields if field.pattern]
    assert faults
    assert all(fault.startswith("{value} ") and fault.endswith(".") for fault in faults)


@pytest.mark.parametrize(("name", "value"), [("open_case", "C 7"), ("name_signer", "no key")])
def test_fault_of_a_form_names_what_was_written(name: str, value: str) -> None:
    made = next(field for field in ACTS[name].fields if field.pattern)
    form = act_form(ACTS[name], Case("C-7"), None, 0)({made.name: value})
    (fault,) = form.errors[made.name]
    assert fault == translate(made.fault, value=value)


def call_faults(_case: Case, values: Values, _now: int | None) -> Iterator[Any]:
    if values["minutes"] == 13:
        yield Fault("minutes", "nobody calls for 13 minutes", "count again")


def record_call(work: Work) -> None:
    work.take(TaskAdded(Task(work.case.fresh("T"), work.values["what"])))


CALL = Act(
    "record_call",
    "Record a call",
    "Record the call",
    "",
    (
        Field("what", "What was said", "area", option=Option("What was said.", "WHAT"), most=20),
        Field("minutes", "For how long", "number", option=Option("Minutes.")),
        Field("whose", "Whose call it was", "choice", values=[("ours", "ours")],
              option=Option("Whose call it was.")),
        Field("at", "When (UTC)", "moment", past=True, option=Option("When.", default="")),
    ),
    record_call,
    (TaskAdded,),
    guard=call_faults,
    ordered=False,
    command="call",
    help="Record a call.",
)  # fmt: skip


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Act:
    """An act that nothing but its declaration knows."""
    known: Any = ACTS
    monkeypatch.setitem(known, CALL.name, CALL)
    return CALL


@pytest.mark.usefixtures("call")
def test_declared_act_is_a_command_that_seals_its_step(tmp_path: Path) -> None:
    group, key = typer.Typer(), tmp_path / "key"
    for name in ("open", "task", "call"):
        act_command(name, group=group)(take_step)

    def run(*words: str) -> Any:
        given = [words[0], str(tmp_path / "C-7"), *words[1:], "--by", "Noa", "--seal-key", str(key)]
        return CliRunner().invoke(group, given)

    assert run("open", "--title", "Bulk Co").exit_code == 0
    assert run("task", "write").exit_code == 0
    help_page = CliRunner().invoke(group, ["call", "--help"]).output
    assert "Record a call." in help_page
    assert "ours" in help_page
    wrong = run("call", "they deny it", "--minutes", "13", "--whose", "ours")
    assert "nobody calls for 13 minutes" in str(wrong.exception)
    said = run("call", "they deny it", "--minutes", "3", "--whose", "ours")
    assert said.output == "C-7, step 3: task: they deny it; the case is opened\n"
    with open_case_at(tmp_path / "C-7", key) as at:
        assert at.case.tasks["T2"].what == "they deny it"
        assert [at.ledger.entry(n).kind for n in range(at.ledger.size)] == ["step"] * 3


@case_visits
async def test_declared_act_is_a_form_that_shows_all_faults_at_once(
    console: RunningConsole,
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        known: Any = ACTS
        patched.setitem(known, CALL.name, CALL)
        counsel = await console.person("counsel")
        before = len(served_case(console).steps)
        wrong = {"what": "x" * 21, "minutes": "366", "whose": "nobody's", "at": "2199-01-01T00:00"}
        answer = await act(counsel, "record_call", **wrong, reason=" ")
        assert answer.status_code == 422
        words = text_of(answer.text)
        assert "5 fields are wrong. Nothing was changed." in words
        for fault in ("at most 20 characters", "less than or equal to 365", "that are offered",
                      "It is in the future", "A reason is missing"):  # fmt: skip
            assert words.count(fault) == 2, fault
        assert answer.text.count('aria-invalid="true"') == 5
        assert 'aria-describedby="f-at_error"' in answer.text
        assert 'id="f-at_error"' in answer.text
        together = wrong | {"what": "they deny it", "minutes": "13", "whose": "ours", "at": ""}
        answer = await act(counsel, "record_call", **together)
        assert "Nobody calls for 13 minutes: count again." in text_of(answer.text)
        assert "It is missing: fill it in." in text_of(answer.text)
        right = together | {"minutes": "3", "at": "2026-01-01T00:00"}
        assert (await act(counsel, "record_call", **right)).status_code == 302
        assert len(served_case(console).steps) == before + 1
        assert "Task: they deny it" in text_of((await counsel.get(PAGE)).text)
        rows = await queried(lambda: list(AuditEntry.objects.filter(object=CASE_ID)))
        assert [row.action for row in rows] == ["record_call"]
