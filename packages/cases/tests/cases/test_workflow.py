"""Cases step by step: guards, four eyes, merges, notices, the watch after a notice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from wavebreak.errors import CaseError
from wavebreak.languages import LANGUAGES
from wavebreak.ledger import new_signer
from wavebreak.ledger.checkpoints import encode_verifier_key
from wavebreak_cases.cases.case import (
    AccountLinked,
    Action,
    Case,
    CaseFile,
    CaseOpened,
    DeterminationPrepared,
    DeterminationSigned,
    EvidenceAdded,
    EvidenceReviewed,
    Exhibit,
    ExhibitAdded,
    NoticeDelivered,
    NoticeSent,
    PartiesMerged,
    PartiesRelated,
    PartiesUnmerged,
    PartyNamed,
    ReplyReceived,
    SignerNamed,
    StateChanged,
    Task,
    TaskAdded,
    TaskFinished,
    evidence_for_party,
)
from wavebreak_cases.cases.date_ranges import parse_date, parse_instant
from wavebreak_cases.cases.determination import determine
from wavebreak_cases.cases.eligibility import load_grounds
from wavebreak_cases.cases.notices import Delivery, Notice, Reply, load_templates, render_notice
from wavebreak_cases.cases.parties import (
    Basis,
    DateSource,
    Evidence,
    Link,
    Party,
    Relation,
    Strength,
    load_name_weights,
    normalize_name,
    propose_merges,
)
from wavebreak_cases.cases.post_notice_monitoring import follow_up_actions, overdue_items
from wavebreak_cases.cases.signatures import CaseSigner, sign_determination
from wavebreak_cases.cases.workflow import append_action, replay
from wavebreak_cases.cli.fixes import command_fix

GROUNDS = load_grounds()
NOW = parse_instant("2026-11-01T00:00:00Z")
DAY = 86_400_000
SIGNED = DeterminationSigned("D1", session="console")
SAID = DateSource("person", "Noa", "the invoice")
new = msgspec.structs.replace


def do(
    case: Case,
    *dids: Action,
    by: str = "Noa",
    role: str = "investigator",
    at: int = NOW,
    why: str = "",
) -> Case:
    for did in dids:
        now = max(at, case.steps[-1].at if case.steps else 0)
        case = append_action(case, did, at=now + 1_000, by=by, role=role, why=why)
    return case


def exhibit(name: str = "E1") -> ExhibitAdded:
    return ExhibitAdded(Exhibit(name, "claim", "a page", f"exhibits/{name}", {"a": "0" * 64}, NOW))


def found(name: str = "V1", party: str = "P1", shows: str = "E1", **values: Any) -> EvidenceAdded:
    kept: dict[str, Any] = {
        "kind": "off_platform", "conduct": "engaged", "began": parse_date("2018", "UTC"),
        "lasted": parse_date("2021", "UTC"), "basis": Basis.STATEMENT, "strength": Strength.STRONG,
        "violations": ("bulk",), "began_source": SAID, "lasted_source": SAID,
    } | values  # fmt: skip
    return EvidenceAdded(Evidence(name, party, shows, **kept))


def named(name: str = "P1", called: str = "Bulk Co", **values: Any) -> PartyNamed:
    return PartyNamed(Party(name, "company", called, **values))


def sent(name: str = "N1", party: str = "P1", at: int = NOW) -> NoticeSent:
    return NoticeSent(Notice(name, party, "cease_and_desist", "en", "s", ("p",), at, at + 14 * DAY))


def opened() -> Case:
    return do(Case("C-1"), CaseOpened("Bulk Co"), named(), exhibit(), found())


def determined(case: Case, by: str = "Noa", name: str = "D1", party: str = "P1") -> Case:
    made = determine(party, evidence_for_party(case, party), GROUNDS, NOW)
    return do(case, DeterminationPrepared(name, made), by=by)


def ready() -> Case:
    """Confirmed, determined and signed."""
    case = determined(do(opened(), StateChanged("investigating"), EvidenceReviewed("V1", True)))
    return do(case, SIGNED, by="Adv. Levi", role="counsel")


def test_case_from_opened_to_closed_is_fold_of_its_steps() -> None:
    case = do(ready(), StateChanged("determined"), StateChanged("referred"), StateChanged("closed"))
    assert case.state == "closed"
    assert case.determinations["D1"].signed_by == "Adv. Levi"
    kept = msgspec.json.encode(CaseFile(1, "0" * 64, case.id, case.steps))
    assert replay(msgspec.json.decode(kept, type=CaseFile)) == case


REFUSED: dict[str, tuple[Callable[[], Case], Action, str]] = {
    "opening twice": (opened, CaseOpened("again"), "already open"),
    "a step before opening": (lambda: Case("C"), named(), "not yet open"),
    "an exhibit twice": (opened, exhibit(), "already a exhibit E1"),
    "evidence of a party that is not there": (opened, found("V2", "P9"), "no party P9"),
    "evidence of an exhibit that is not there": (opened, found("V2", shows="E9"), "no exhibit E9"),
    "evidence that says it is confirmed": (opened, found("V2", confirmed="yes"), "step of its own"),
    "a link without its exhibit": (
        opened,
        AccountLinked(Link("P1", "a-1", Basis.PAYMENT, Strength.STRONG, "E9")),
        "no exhibit E9",
    ),
    "a party merged by naming it": (opened, named("P2", same_as="P1"), "set by a merge"),
    "a party merged into itself": (opened, PartiesMerged("P1", "P1"), "one already"),
    "going where no way leads": (opened, StateChanged("referred"), "does not go from opened"),
    "noticed without proof of delivery": (
        lambda: do(opened(), StateChanged("investigating"), sent()),
        StateChanged("noticed"),
        "arrived",
    ),
    "determined without a determination": (
        lambda: do(opened(), StateChanged("investigating")),
        StateChanged("determined"),
        "not signed",
    ),
    "closing with an open task": (
        lambda: do(opened(), TaskAdded(Task("T1", "buy one"))),
        StateChanged("closed"),
        "T1 is open",
    ),
    "finishing a task twice": (
        lambda: do(opened(), TaskAdded(Task("T1", "buy")), TaskFinished("T1")),
        TaskFinished("T1"),
        "done",
    ),
    "a notice that arrived before it was sent": (
        lambda: do(opened(), sent()),
        NoticeDelivered(Delivery("N1", NOW - 1, "x", "E1")),
        "before",
    ),
    "an answer to a notice that was never sent": (
        opened,
        ReplyReceived(Reply("N1", NOW, "no", "E1")),
        "no notice N1",
    ),
    "a determination of a party that is not there": (
        opened,
        DeterminationPrepared("D1", determine("P9", [], GROUNDS, NOW)),
        "no party P9",
    ),
    "a determination of other evidence": (
        opened,
        DeterminationPrepared("D1", determine("P1", [], GROUNDS, NOW)),
        "other evidence",
    ),
    "signing what is not there": (opened, SIGNED, "no determination D1"),
    "a party in a closed case": (
        lambda: do(opened(), StateChanged("closed")),
        named("P2"),
        "is closed",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_a_reason_and_a_fix(name: str) -> None:
    case, did, why = REFUSED[name]
    with pytest.raises(CaseError, match=why) as refused:
        do(case(), did)
    assert refused.value.fix


def test_signature_needs_other_person_role_and_is_once() -> None:
    case = determined(
        do(opened(), StateChanged("investigating"), EvidenceReviewed("V1", True)), by="Adv. Levi"
    )
    for by, role, why in (
        ("Dana", "investigator", "signed by counsel"),
        ("Adv. Levi", "counsel", "four eyes"),
        ("  adv.  LEVI ", "counsel", "four eyes"),
    ):
        with pytest.raises(CaseError) as refused:
            do(case, SIGNED, by=by, role=role)
        assert why in str(refused.value)
    case = do(case, SIGNED, by="Adv. Cohen", role="counsel")
    with pytest.raises(CaseError, match="signed already"):
        do(case, SIGNED, by="Adv. Katz", role="counsel")


def test_new_evidence_makes_signature_stale() -> None:
    case = do(ready(), StateChanged("determined"))
    case = do(case, exhibit("E2"), found("V2", shows="E2"))
    with pytest.raises(CaseError, match="other evidence than now"):
        do(case, StateChanged("referred"))
    case = determined(case, name="D2")
    with pytest.raises(CaseError, match="not signed"):
        do(case, StateChanged("referred"))
    case = do(case, DeterminationSigned("D2", session="console"), by="Adv. Levi", role="counsel")
    assert do(case, StateChanged("referred")).state == "referred"


def test_case_without_eligible_party_is_not_referred() -> None:
    case = determined(do(opened(), StateChanged("investigating"), EvidenceReviewed("V1", False)))
    case = do(case, SIGNED, by="Adv. Levi", role="counsel")
    case = do(case, StateChanged("determined"))
    with pytest.raises(CaseError, match="no party is eligible"):
        do(case, StateChanged("referred"))


def test_steps_out_of_order_or_back_in_time_are_refused() -> None:
    case = opened()
    with pytest.raises(CaseError, match="before the one it follows"):
        append_action(case, named("P2"), at=0, by="Noa", role="investigator")
    twice = CaseFile(1, "0" * 64, case.id, (case.steps[0], case.steps[0]))
    with pytest.raises(CaseError, match="does not follow"):
        replay(twice)


def test_merge_joins_parties_and_their_evidence() -> None:
    case = do(
        opened(), named("P2", "Bulk Company Ltd", domains=("bulk.example",), aliases=("BC",)),
        exhibit("E2"), found("V2", "P2", "E2"), PartiesMerged("P1", "P2"),
    )  # fmt: skip
    assert case.parties["P1"].aliases == ("Bulk Company Ltd", "BC")
    assert case.parties["P1"].domains == ("bulk.example",)
    assert case.root("P2") == "P1"
    assert [e.id for e in evidence_for_party(case, "P1")] == ["V1", "V2"]
    with pytest.raises(CaseError, match="one already"):
        do(case, PartiesMerged("P1", "P2"))


def unmerge(case: Case, party: str, why: str) -> Case:
    """Undo a merge, for a reason."""
    at = case.steps[-1].at
    return append_action(case, PartiesUnmerged(party), at=at, by="Noa", role="counsel", why=why)


def test_unmerge_restores_both_parties_and_their_evidence() -> None:
    before = do(
        opened(), named("P2", "Bulk Company Ltd", domains=("bulk.example",), aliases=("BC",)),
        exhibit("E2"), found("V2", "P2", "E2"),
    )  # fmt: skip
    merged = do(before, PartiesMerged("P1", "P2"))
    case = unmerge(merged, "P2", "two")
    assert case.parties == before.parties
    assert [e.id for e in evidence_for_party(case, "P1")] == ["V1"]
    assert [e.id for e in evidence_for_party(case, "P2")] == ["V2"]
    assert replay(CaseFile(1, "0" * 64, case.id, case.steps)) == case


def test_unmerge_within_a_chain_keeps_the_other_merges() -> None:
    case = do(
        opened(), named("P2", "Two", domains=("two.example",)),
        named("P3", "Three", domains=("three.example",)),
        PartiesMerged("P2", "P3"), PartiesMerged("P1", "P2"),
    )  # fmt: skip
    assert case.parties["P1"].domains == ("two.example", "three.example")
    case = unmerge(case, "P3", "two")
    assert case.parties["P1"].domains == case.parties["P2"].domains == ("two.example",)
    assert (case.root("P2"), case.root("P3")) == ("P1", "P3")


@pytest.mark.parametrize(
    ("party", "why", "message"),
    [("P1", "two", "is not merged"), ("P2", " ", "is not stated"), ("P9", "two", "no party P9")],
)
def test_unmerge_without_merge_or_reason_is_refused(party: str, why: str, message: str) -> None:
    case = do(opened(), named("P2", "Two"), PartiesMerged("P1", "P2"))
    with pytest.raises(CaseError, match=message):
        unmerge(case, party, why)


@pytest.mark.parametrize(
    ("own", "relation", "together"),
    [("strong", "moderate", "moderate"), ("weak", "strong", "weak"), ("unknown", "none", "none"),
     ("unknown", "strong", "unknown")],
)  # fmt: skip
def test_affiliate_evidence_has_strength_of_weaker_link(
    own: str, relation: str, together: str
) -> None:
    case = do(
        opened(), named("P2", "Other"),
        found("V2", "P2", kind="on_platform", strength=Strength(own)),
        found("V3", "P2"),
        PartiesRelated(Relation("P1", "P2", "affiliate", Strength(relation), "E1")),
    )  # fmt: skip
    bearing = {e.id: e for e in evidence_for_party(case, "P1")}
    assert set(bearing) == {"V1", "V2/E1", "V3/E1"}
    assert (bearing["V2/E1"].basis, bearing["V2/E1"].strength) == ("affiliation", together)


def noticed() -> Case:
    case = do(opened(), StateChanged("investigating"), sent())
    arrived = NoticeDelivered(Delivery("N1", NOW + DAY, "courier, signed for", "E1"))
    case = do(case, arrived, at=NOW + DAY)
    return do(case, StateChanged("noticed"))


@pytest.mark.parametrize(
    ("began", "lasted", "kinds"),
    [
        ("2026-11-20", "2026-11-20", ["advanced", "tasked"]),
        ("2018", "since 2026-12", ["advanced", "tasked"]),
        ("2018", "2026-10", []),
        ("2026-11-01", "2026-11-01", []),
        ("2018", "unknown", ["tasked"]),
        ("2026-11-02", "2026-11-02", ["tasked"]),
    ],
)
@pytest.mark.parametrize("kind", ["on_platform", "off_platform"])
def test_conduct_after_notice_reopens_case_or_adds_task(
    kind: str, began: str, lasted: str, kinds: list[str]
) -> None:
    case = noticed()
    item = found(
        "V2", kind=kind, began=parse_date(began, "UTC"), lasted=parse_date(lasted, "UTC")
    ).evidence  # fmt: skip
    follows = follow_up_actions(case, item)
    assert [type(did).__struct_config__.tag for did, _ in follows] == kinds
    for did, why in follows:
        case = do(case, did, by="watch", role="watch", why=why)
    assert case.state == ("reopened" if "advanced" in kinds else "noticed")


def test_evidence_of_other_party_does_not_reopen_closed_case() -> None:
    case = do(noticed(), named("P2", "Other"), StateChanged("closed"))
    case = do(case, exhibit("E2"))
    late = found(
        "V2", shows="E2", began=parse_date("2027", "UTC"), lasted=parse_date("2027", "UTC")
    )
    case = do(case, late, at=NOW + 90 * DAY)
    assert [type(did) for did, _ in follow_up_actions(case, late.evidence)] == [
        StateChanged,
        TaskAdded,
    ]
    assert follow_up_actions(case, new(late.evidence, party="P2")) == ()
    assert follow_up_actions(case, new(late.evidence, conduct="neither")) == ()
    assert follow_up_actions(opened(), late.evidence) == ()


def test_weak_relation_found_after_closing_adds_a_task() -> None:
    late = found("V2", "P2", began=parse_date("2027", "UTC"), lasted=parse_date("2027", "UTC"))
    for strength, kinds in (("weak", ["tasked"]), ("strong", ["advanced", "tasked"])):
        case = do(noticed(), named("P2", "Other"), StateChanged("closed"))
        case = do(case, late, at=NOW + 90 * DAY)
        relation = Relation("P1", "P2", "affiliate", Strength(strength), "E1")
        case = do(case, PartiesRelated(relation))
        follows = follow_up_actions(case, late.evidence)
        assert [type(did).__struct_config__.tag for did, _ in follows] == kinds, strength
        for did, why in follows:
            case = do(case, did, by="watch", role="watch", why=why)
        assert case.state == ("closed" if strength == "weak" else "reopened")
        assert len(case.open_tasks()) == 1


def test_overdue_items_are_listed() -> None:
    case = do(noticed(), TaskAdded(Task("T1", "call the registrar", NOW)))
    assert overdue_items(case, NOW) == ()
    late = overdue_items(case, NOW + 15 * DAY)
    assert [line.split()[0] for line in late] == ["N1", "T1"]
    case = do(case, ReplyReceived(Reply("N1", NOW, "denies", "E1")), TaskFinished("T1"))
    assert overdue_items(case, NOW + 15 * DAY) == ()


def test_every_template_is_in_every_language() -> None:
    letters = load_templates()
    for name in ("cease_and_desist", "reminder"):
        assert all(letters.find(name, code) for code in LANGUAGES)
        assert letters.find(name, "pt") is None
    new = msgspec.structs.replace
    own = new(letters.template[0], language="he", subject="משלו")
    assert new(letters, template=(own, *letters.template)).find(own.id, "he") == own
    changed = new(letters.template[0], subject="Ours")
    assert new(letters, template=(changed,)).find(own.id, "he") is None
    given = "party operator case conduct exhibits deadline contact notice"
    facts = {name: f"<{name}>" for name in given.split()}
    for name in ("cease_and_desist", "reminder"):
        texts = [" ".join([*render_notice(letters, name, lang, facts)[1]]) for lang in ("en", "he")]
        assert [f in texts[0] for f in facts.values()] == [f in texts[1] for f in facts.values()]
        assert any("א" <= c <= "ת" for c in texts[1])
    with pytest.raises(CaseError, match="deadline"):
        render_notice(
            letters,
            "reminder",
            "he",
            {"party": "x", "notice": "N1"} | dict.fromkeys(("operator", "case"), ""),
        )
    with pytest.raises(CaseError, match="no notice"):
        render_notice(letters, "threat", "en", facts)


def party(name: str, called: str, **values: Any) -> Party:
    return Party(name, "company", called, **values)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Envíos Masivos S.A. de C.V.", "ENVIOS MASIVOS"),
        ("Mensageria Rápida Ltda.", "Mensageria Rapida LTDA"),
        ('הודעות מהירות בע"מ', "הודעות מהירות"),
        ("PT Kirim Cepat Tbk", "Kirim Cepat"),
        ("Fast Sender Pvt. Ltd.", "Sender, Fast"),
        ("Schnellversand GmbH", "Schnellversand AG"),
        ("ООО Рассылка", "Рассылка"),
    ],
)
def test_spellings_of_one_name_are_proposed_as_one_party(one: str, other: str) -> None:
    terms = load_name_weights()
    found = propose_merges([party("P1", one), party("P2", other)], terms)
    assert [(p.party, p.other) for p in found] == [("P1", "P2")]
    assert "names alike" in found[0].reasons[0]


def test_shared_features_are_proposed_and_never_merged() -> None:
    terms = load_name_weights()
    some = [
        party("P1", "Alpha", domains=("www.alpha.example",), numbers=("+972501234567",)),
        party("P2", "Beta", sites=("https://alpha.example/prices",), numbers=("+972501234567",)),
        party("P3", "Gamma", sites=("https://facebook.com/gamma",)),
        party("P4", "Delta", sites=("https://facebook.com/delta",)),
        party("P5", "Alpha", same_as="P1"),
    ]
    found = propose_merges(some, terms)
    assert [(p.party, p.other, p.reasons) for p in found] == [
        ("P1", "P2", ("the same number: +972501234567", "the same domain: alpha.example"))
    ]
    assert found[0].score == pytest.approx(0.88)


def test_different_firms_are_not_proposed() -> None:
    names = ["Rapid Messaging", "Rabbit Massage", "Blue Ocean Travel", "Messaging Partners", "Co"]
    some = [party(f"P{k}", name) for k, name in enumerate(names)]
    assert propose_merges(some, load_name_weights()) == ()
    assert normalize_name("Ltd", load_name_weights().legal["suffixes"]) == "ltd"


def test_party_number_and_conduct_dates_are_validated() -> None:
    with pytest.raises(CaseError, match=r"E\.164"):
        party("P1", "A", numbers=("050-1234567",))
    with pytest.raises(CaseError, match="ends before it begins"):
        found("V1", began=parse_date("2020", "UTC"), lasted=parse_date("2019", "UTC"))


def test_signer_is_authenticated_by_a_key_that_the_case_names() -> None:
    holder, other = new_signer("levi.example"), new_signer("cohen.example")
    case = determined(do(opened(), StateChanged("investigating"), EvidenceReviewed("V1", True)))
    made = case.determinations["D1"].value
    signature = sign_determination(holder, case.id, "D1", made)
    levi: Any = {"by": "Adv. Levi", "role": "counsel"}
    with pytest.raises(CaseError, match="no typed name") as refused:
        do(case, DeterminationSigned("D1"), **levi)
    assert "--signing-key" in command_fix(refused.value)
    with pytest.raises(CaseError, match="does not name this key's holder"):
        do(case, DeterminationSigned("D1", signature), **levi)
    named = SignerNamed(CaseSigner("Adv. Levi", "counsel", encode_verifier_key(holder.key)))
    case = do(case, named)
    with pytest.raises(CaseError, match="already a signer"):
        do(case, named)
    with pytest.raises(CaseError, match=r"the key is of Adv\. Levi, counsel"):
        do(case, DeterminationSigned("D1", signature), by="Adv. Cohen", role="counsel")
    wrong = sign_determination(other, case.id, "D1", made).signature
    for given in (wrong, "AAAA", "not base64"):
        with pytest.raises(CaseError, match="does not hold"):
            do(case, DeterminationSigned("D1", new(signature, signature=given)), **levi)
    elsewhere = sign_determination(holder, "C-2", "D1", made)
    with pytest.raises(CaseError, match="does not hold"):
        do(case, DeterminationSigned("D1", elsewhere), **levi)
    signed = do(case, DeterminationSigned("D1", signature), **levi).determinations["D1"]
    assert (signed.signed_by, signed.signed_with) == ("Adv. Levi", signature.key)
    with pytest.raises(CaseError, match="no verifier key"):
        do(case, SignerNamed(CaseSigner("Dana", "counsel", "dana")))
