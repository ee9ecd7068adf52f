"""Drafts of cases: in one go, again, interrupted, with pages that fail, and from batch files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from support.case_workflow import KEY, OTHER, PAGE, SENDER, Bench, small_run
from support.factories import DAY
from support.hostile_website import outside, web
from wavebreak.cli import app
from wavebreak.errors import CaseError, FileError
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak_cases import claims
from wavebreak_cases.bundles import case_steps, evidence_intake, report_sections
from wavebreak_cases.bundles.case_draft import (
    CaseDraft,
    DraftMeans,
    DraftResult,
    draft_case,
    read_batch,
)
from wavebreak_cases.bundles.case_listing import list_cases, list_parties
from wavebreak_cases.bundles.case_tables import tie_lines
from wavebreak_cases.bundles.evidence_items import Statement, restate_evidence
from wavebreak_cases.bundles.report_sections import ReportSource
from wavebreak_cases.bundles.report_settings import load_settings
from wavebreak_cases.bundles.report_text import ReportText
from wavebreak_cases.bundles.reproduction import RunInputs
from wavebreak_cases.bundles.workspace import load_case
from wavebreak_cases.cases.case import Case, EvidenceCorrected, EvidenceReviewed, Step
from wavebreak_cases.cases.completeness import closing_commands, find_gaps
from wavebreak_cases.cases.parties import Basis, Strength, load_name_weights
from wavebreak_cases.claims.exhibits import Actor

GIVEN = RunInputs(None, None, Pseudonymizer(KEY, None))
DRAFT = CaseDraft("Rapid Messages Ltd", domain=("rapid.example",))


def means(capture: Any = None) -> DraftMeans:
    return DraftMeans(
        Actor("Noa Bar", "bench 1", "the draft", "mandate 12"),
        "investigator",
        KEY,
        capture or (lambda url, place: pytest.fail(f"{url} was captured")),
        lambda: GIVEN,
    )


def drafted(bench: Bench, draft: CaseDraft, capture: Any = None) -> tuple[Case, DraftResult]:
    """Draft, in a new case or the one that is there."""
    with bench.desk("" if bench.case.exists() else "C-7") as at:
        result = draft_case(at, draft, means(capture))
        return at.case, result


def done(steps: tuple[Step, ...]) -> list[str]:
    return [type(step.did).__name__ for step in steps]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def page(tmp_path: Path) -> str:
    path = tmp_path / "page.html"
    path.write_bytes(PAGE)
    return str(path)


@pytest.fixture(scope="module")
def run_directory(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(small_run(tmp_path_factory.mktemp("run")))


def test_a_draft_takes_every_step_of_the_plain_case(
    bench: Bench, page: str, run_directory: str
) -> None:
    draft = msgspec.structs.replace(
        DRAFT, file=(page,), run=run_directory, account=(SENDER,), account_basis=Basis.NUMBER
    )
    case, result = drafted(bench, draft)
    assert done(case.steps) == [
        "CaseOpened", "PartyNamed", "ExhibitAdded", "EvidenceAdded",
        "ExhibitAdded", "AccountLinked", "EvidenceAdded",
    ]  # fmt: skip
    assert (result.party, result.evidence, result.failures) == ("P1", ("V1", "V2"), ())
    assert case.title == DRAFT.party
    assert {e.conduct for e in case.evidence.values()} == {"unknown"}
    assert {e.confirmed for e in case.evidence.values()} == {"unknown"}
    assert [link.strength for link in case.links] == [Strength.UNKNOWN]
    assert SENDER not in (bench.case / "case.json").read_text("utf-8")


def test_drafting_again_takes_nothing_twice(bench: Bench, page: str, run_directory: str) -> None:
    draft = msgspec.structs.replace(
        DRAFT, file=(page,), run=run_directory, account=(SENDER,), account_basis=Basis.NUMBER
    )
    first, _ = drafted(bench, draft)
    again, result = drafted(bench, draft)
    assert again.steps == first.steps
    assert (result.steps, result.evidence) == (0, ("V1", "V2"))


def test_drafting_again_adds_what_is_new(bench: Bench, page: str, run_directory: str) -> None:
    drafted(bench, msgspec.structs.replace(DRAFT, file=(page,)))
    bought = bench.root / "purchase.txt"
    bought.write_text("Bought on 2 March; the messages came from this account.")
    more = msgspec.structs.replace(
        DRAFT, party="rapid messages LTD", number=("+972501234567",), run=run_directory,
        file=(str(bought),),
        account=(OTHER,), account_basis=Basis.PURCHASE, account_strength=Strength.STRONG,
    )  # fmt: skip
    case, result = drafted(bench, more)
    assert list(case.parties) == ["P1"]
    assert case.parties["P1"].domains == ("rapid.example",)
    assert case.parties["P1"].numbers == ("+972501234567",)
    assert result.evidence == ("V2", "V3")
    assert (case.evidence["V3"].basis, case.evidence["V3"].strength) == ("test_purchase", "strong")
    assert [link.exhibit for link in case.links] == ["E2"]


def test_an_interrupted_draft_continues(
    bench: Bench, page: str, run_directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = msgspec.structs.replace(
        DRAFT, file=(page,), run=run_directory, account=(SENDER,), account_basis=Basis.NUMBER
    )

    def crash(*_args: Any, **_options: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(evidence_intake, "add_evidence", crash)
        with pytest.raises(KeyboardInterrupt):
            drafted(bench, draft)
    assert done(load_case(bench.case / "case.json")[1].steps)[-1] == "ExhibitAdded"
    case, result = drafted(bench, draft)
    assert (result.evidence, len(case.exhibits), len(case.steps)) == (("V1", "V2"), 2, 7)


def test_what_is_stated_otherwise_is_corrected_with_a_trace(bench: Bench, page: str) -> None:
    draft = msgspec.structs.replace(DRAFT, file=(page,), conduct="engaged", violation=("bulk",))
    drafted(bench, draft)
    stated = msgspec.structs.replace(
        draft, conduct="assisted", until="2021-03", date_basis="the invoice"
    )
    case, result = drafted(bench, stated)
    assert result.evidence == ("V1",)
    assert isinstance(case.steps[-1].did, EvidenceCorrected)
    assert case.steps[-1].why == "drafted again, stated otherwise"
    assert case.evidence["V1"].conduct == "assisted"
    assert case.evidence["V1"].violations == ("bulk",)


def test_reviewed_evidence_is_not_overwritten(bench: Bench, page: str) -> None:
    draft = msgspec.structs.replace(DRAFT, file=(page,), conduct="engaged", violation=("bulk",))
    drafted(bench, draft)
    with bench.desk() as at:
        at.take(EvidenceReviewed("V1", True), **bench.me, why="read")
    case, result = drafted(bench, msgspec.structs.replace(draft, conduct="neither"))
    assert case.evidence["V1"].conduct == "engaged"
    assert [f.error.what for f in result.failures] == [
        "V1 is reviewed already, and the draft states it otherwise"
    ]


def test_a_page_that_fails_keeps_no_other_out(bench: Bench, page: str, tmp_path: Path) -> None:
    draft = msgspec.structs.replace(DRAFT, file=(str(tmp_path / "absent.html"), page))
    case, result = drafted(bench, draft)
    assert [Path(f.source).name for f in result.failures] == ["absent.html"]
    assert result.failures[0].error.fix
    assert (list(case.exhibits), result.evidence) == (["E1"], ("V1",))


def test_a_rejected_page_gives_no_evidence(bench: Bench, page: str, tmp_path: Path) -> None:
    place = tmp_path / "ex"
    actor = Actor("Noa Bar", "bench 1")
    claims.add_file(Path(page).read_bytes(), place, actor, "2026-03-04T05:06:07Z")
    claims.add_label(place, "innocent", actor, "2026-03-04T05:07:00Z", "a news page", None)
    case, result = drafted(bench, msgspec.structs.replace(DRAFT, file=(str(place),)))
    assert "a news page" in result.failures[0].error.what
    assert (list(case.exhibits), case.evidence) == (["E1"], {})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"number": ("050-1234567",)}, "not E.164"),
        ({"until": "2021-03"}, "needs its basis"),
        ({"account": ("a-17",)}, "linked to a party by an exhibit"),
    ],
)
def test_a_wrong_field_leaves_no_step_behind(
    bench: Bench, wrong: dict[str, Any], message: str
) -> None:
    with bench.desk("C-7") as at:
        with pytest.raises(CaseError, match=message):
            draft_case(at, msgspec.structs.replace(DRAFT, **wrong), means())
        assert at.case.steps == ()


def test_an_address_is_captured_once(bench: Bench) -> None:
    bench.wait(400 * DAY)
    with web() as site:

        def capture(url: str, place: Path) -> None:
            claims.capture_page(url, place, Actor("Noa Bar", "bench 1"), outside())

        draft = msgspec.structs.replace(DRAFT, url=(site.url("/page"), site.url("/absent")))
        case, result = drafted(bench, draft, capture)
        assert case.exhibits["E1"].kind == "claim"
        assert case.evidence["V1"].lasted.latest is not None
        before = len(site.hits)
        again, _ = drafted(bench, msgspec.structs.replace(draft, url=draft.url[:1]), capture)
    assert len(again.steps) == len(case.steps)
    assert len(site.hits) == before
    assert result.exhibits[draft.url[0]] == "E1"


def test_gaps_shrink_until_a_determination_is_due(bench: Bench, page: str) -> None:
    case, _ = drafted(bench, msgspec.structs.replace(DRAFT, file=(page,)))
    gaps = find_gaps(case, {"E1": ("bulk",)})
    assert [gap.act for gap in gaps][:3] == ["correct_evidence"] * 2 + ["review_evidence"]
    commands = closing_commands(gaps)
    assert [command[0] for command in commands] == ["correct", "confirm", "determine"]
    assert commands[0][commands[0].index("--violation") + 1] == "bulk"
    stated: dict[str, Any] = {"conduct": "engaged", "violation": ("bulk",)}
    stated |= {"strength": Strength.STRONG, "basis": Basis.STATEMENT}
    case, _ = drafted(bench, msgspec.structs.replace(DRAFT, file=(page,), **stated))
    with bench.desk() as at:
        case = at.take(EvidenceReviewed("V1", True), **bench.me, why="read")
    assert [gap.act for gap in find_gaps(case)] == ["prepare_determination"]


def test_a_batch_keeps_good_lines_beside_bad_ones(tmp_path: Path, page: str) -> None:
    (tmp_path / "new.csv").write_text(
        "case,party,file,conduct,domain\n"
        "C-1,Rapid Ltd,page.html,engaged,a.example; b.example\n"
        "C-2,Other Ltd,page.html,guilty,\n"
        "bad/id,Third Ltd,,,\n"
        "C-3,Fourth Ltd,,,,too many\n"
        '"C-4","Fifth, Ltd",page.html,,\n',
        "utf-8",
    )
    lines = read_batch(tmp_path / "new.csv")
    assert [line.draft is not None for line in lines] == [True, False, False, False, True]
    assert lines[0].draft == CaseDraft(
        "Rapid Ltd", domain=("a.example", "b.example"), file=(page,), conduct="engaged"
    )
    assert [line.where for line in lines] == [f"line {n}" for n in range(2, 7)]
    assert all(line.error and line.error.fix for line in lines[1:4])


def test_a_batch_in_toml_reads_lists(tmp_path: Path) -> None:
    path = tmp_path / "new.toml"
    path.write_text('[[case]]\ncase = "C-1"\nparty = "Rapid Ltd"\nurl = ["https://a.example/"]\n')
    assert read_batch(path)[0].draft == CaseDraft("Rapid Ltd", url=("https://a.example/",))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("new.csv", "case,name\nC-1,x\n"), ("new.csv", "party\nx\n"), ("new.toml", "[case"),
        ("new.toml", ""), ("new.txt", "x"), ("new.csv", b"\xff\xfe"), ("absent.csv", None),
    ],
)  # fmt: skip
def test_a_batch_that_is_no_batch_is_refused(tmp_path: Path, name: str, content: Any) -> None:
    if content is not None:
        raw = content if isinstance(content, bytes) else content.encode()
        (tmp_path / name).write_bytes(raw)
    with pytest.raises(FileError) as refused:
        read_batch(tmp_path / name)
    assert refused.value.fix


def test_draft_command_shows_what_is_missing(
    tmp_path: Path, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    keys = ["--key", "key", "--seal-key", "seal.key", "--by", "Noa"]
    words = ["case", "draft", "C-7", "--party", "Rapid Ltd", "--file", page, *keys]
    made = CliRunner().invoke(app, words)
    assert made.exit_code == 0, made.output
    assert "what the party did is not stated" in made.output
    assert "wavebreak case confirm C-7 V1 --by NAME" in made.output
    shown = CliRunner().invoke(app, ["case", "draft", "C-7"])
    assert "what the party did is not stated" in shown.output
    failing = CliRunner().invoke(app, [*words, "--file", "absent.html"])
    assert failing.exit_code == 1


def test_draft_command_takes_a_batch(
    tmp_path: Path, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("new.csv").write_text(
        f"case,party,file\nC-1,Rapid Ltd,{page}\nC-2,Other Ltd,absent.html\nC 3,Third,\n"
    )
    keys = ["--key", "key", "--seal-key", "seal.key", "--by", "Noa"]
    made = CliRunner().invoke(app, ["case", "draft", "all", "--batch", "new.csv", *keys])
    assert made.exit_code == 1, made.output
    assert "2 lines drafted, 2 errors" in made.output
    assert load_case(Path("all/C-1/case.json"))[1].evidence
    assert list(load_case(Path("all/C-2/case.json"))[1].parties) == ["P1"]


@pytest.fixture
def several(tmp_path: Path, page: str) -> Path:
    """Three cases, two of them about one company under two names, and one that was edited."""
    directory = tmp_path / "all"
    names = {
        "C-1": ("Rapid Messages Ltd", page),
        "C-2": ("RAPID MESSAGES", page),
        "C-3": ("Oak", ""),
    }
    for name, (party, file) in names.items():
        bench = Bench(directory)
        bench.case = directory / name
        draft = CaseDraft(party, file=(file,) if file else ())
        with bench.desk(name) as at:
            draft_case(at, draft, means())
    edited = directory / "C-4" / "case.json"
    edited.parent.mkdir()
    edited.write_text("{}")
    return directory


def test_parties_across_cases_are_grouped_with_reasons(several: Path) -> None:
    listed = list_cases(several)
    assert [(one.name, one.case is None) for one in listed] == [
        ("C-1", False), ("C-2", False), ("C-3", False), ("C-4", True),
    ]  # fmt: skip
    found = list_parties(listed, load_name_weights())
    assert [[e.case for e in one.entries] for one in found] == [["C-1", "C-2"], ["C-3"]]
    assert "names alike" in found[0].reasons[0]
    assert [e.items for e in found[0].entries] == [1, 1]


def test_list_and_parties_commands_show_every_case(several: Path) -> None:
    listed = CliRunner().invoke(app, ["case", "list", str(several), "--json"])
    assert listed.exit_code == 1
    assert [row["case"] for row in json.loads(listed.output)["cases"]] == ["C-1", "C-2", "C-3"]
    assert "C-4" in listed.output
    shown = CliRunner().invoke(app, ["case", "parties", str(several), "--wide"])
    assert "RAPID MESSAGES" in shown.output
    assert "names alike" in shown.output


def test_list_of_a_directory_without_cases_says_so(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "absent"):
        with pytest.raises(CaseError) as refused:
            list_cases(place)
        assert refused.value.fix


def test_accounts_are_tied_by_nothing_that_nobody_stated(
    bench: Bench, page: str, run_directory: str
) -> None:
    draft = msgspec.structs.replace(DRAFT, file=(page,), run=run_directory, account=(SENDER,))
    case, result = drafted(bench, draft)
    assert (case.links, result.failures) == ((), ())
    missing = [gap for gap in find_gaps(case) if gap.act == "link_account"]
    assert len(missing) == 1
    assert "nobody said what ties account" in missing[0].missing
    stated = msgspec.structs.replace(
        draft, account_basis=Basis.NUMBER, account_strength=Strength.MODERATE
    )
    case, _ = drafted(bench, stated)
    assert [(k.basis, k.strength, k.exhibit) for k in case.links] == [
        ("number_in_claim", "moderate", "E1")
    ]
    assert case.evidence["V2"].strength == "moderate"


def test_no_account_is_tied_by_a_payment_on_a_web_page(
    bench: Bench, page: str, run_directory: str
) -> None:
    draft = msgspec.structs.replace(
        DRAFT, file=(page,), run=run_directory, account=(SENDER,), account_basis=Basis.PAYMENT,
        account_strength=Strength.STRONG,
    )  # fmt: skip
    case, result = drafted(bench, draft)
    assert case.links == ()
    assert "E1 is a web page: it shows no tie by payment" in result.failures[0].error.what
    assert "document" in result.failures[0].error.fix
    receipt = bench.root / "receipt.txt"
    receipt.write_text("Paid on 2 March.")
    paid = msgspec.structs.replace(draft, file=(page, str(receipt)))
    case, _ = drafted(bench, paid)
    assert case.exhibits[case.links[0].exhibit].title == "receipt.txt"
    with bench.desk() as at:
        step = case_steps.account_linked(
            at.case, KEY, "P1", OTHER, Basis.PURCHASE, Strength.STRONG, "E1"
        )
        with pytest.raises(CaseError, match="E1 is a web page"):
            at.take(step, **bench.me)


def test_weak_tie_of_an_account_is_not_overruled_in_silence(
    bench: Bench, page: str, run_directory: str
) -> None:
    draft = msgspec.structs.replace(
        DRAFT, file=(page,), run=run_directory, account=(SENDER,), account_basis=Basis.NUMBER,
        account_strength=Strength.WEAK,
    )  # fmt: skip
    drafted(bench, draft)
    with bench.desk() as at:
        stated = Statement(strength=Strength.STRONG)
        item = restate_evidence(at, at.case.evidence["V2"], stated, "Noa Bar")
        case = evidence_intake.correct_evidence(at, item, **bench.me, why="sure")
        source = ReportSource(at.path, case, load_settings("he"), ReportText("he"))
    said = tie_lines(case)
    assert len(said) == 1
    assert "is tied weak only, by number in claim (E1)" in said[0]
    assert "a payment, a test purchase or an admission" in said[0]
    assert said[0].removeprefix("note: ") in [gap.missing for gap in find_gaps(case)]
    (table,) = (b for b in report_sections.evidence(source)["blocks"] if b["kind"] == "table")
    assert "ואולם חשבון" in str(table["rows"])


def test_tie_that_is_judged_anew_is_as_judged_last(bench: Bench, page: str) -> None:
    drafted(bench, msgspec.structs.replace(DRAFT, file=(page,)))
    with bench.desk() as at:
        for strength in (Strength.STRONG, Strength.WEAK):
            step = case_steps.account_linked(
                at.case, KEY, "P1", SENDER, Basis.NUMBER, strength, "E1"
            )
            at.take(step, **bench.me)
        account = at.case.links[0].account
        assert evidence_intake.strongest_link(at, "P1", [account]) == ("number_in_claim", "weak")
