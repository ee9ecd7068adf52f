"""Acts on the exhibits of a case, and on the evidence that is drawn from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from msgspec import UNSET

from wavebreak.errors import UsageError
from wavebreak_cases.acts import fields
from wavebreak_cases.acts.declaration import Act, Fault, Field, Option, Values, Work, exhibits
from wavebreak_cases.bundles import evidence_intake, evidence_items, exhibit_redaction
from wavebreak_cases.cases import case as steps
from wavebreak_cases.cases.case import Case, Redaction
from wavebreak_cases.cases.parties import Basis, Evidence, Strength, Translation


def _add_exhibit(work: Work) -> None:
    v, source = work.values, work.values["file"]
    exhibit = (work.workspace, source, work.actor, work.role)
    if (source / exhibits.EXHIBIT).exists():
        evidence_intake.add_claim_exhibit(*exhibit, title=v["title"], kind=v["kind"])
    else:
        evidence_intake.add_file_exhibit(
            *exhibit,
            title=v["title"],
            kind=v["kind"] or "document",
            pictures_only=work.pictures_only,
        )


def _add_evidence(work: Work) -> str:
    v = work.values
    exhibit = work.case.exhibits[v["exhibit"]]
    item = evidence_items.draw_evidence(
        work.workspace, exhibit, v["party"], v["seen"], _statement(v), work.by
    )
    evidence_intake.add_evidence(work.workspace, item, **work.signed)
    return item.id


def _correct_evidence(work: Work) -> str:
    v = work.values
    old = _known_item(work)
    new = evidence_items.restate_evidence(
        work.workspace, old, _statement(v), work.by, party=v["party"]
    )
    evidence_intake.correct_evidence(work.workspace, new, **work.signed)
    return old.id


def _review_evidence(work: Work) -> None:
    _known_item(work)
    v = work.values
    given = [v[name].strip() for name in ("language", "translator", "translation")]
    translation = Translation(*given) if all(given) else UNSET
    work.take(steps.EvidenceReviewed(v["item"], v["shows"] == "yes", translation))


def _translation_faults(_case: Case, values: Values, _now: int | None) -> Iterator[Fault]:
    names = ("language", "translator", "translation")
    given = [name for name in names if values[name].strip()]
    if given and len(given) < len(names):
        missing = next(name for name in names if name not in given)
        yield Fault(
            missing,
            "a translation is named with its language, who made it, and its exhibit",
            "give all three, or none where you read the language yourself",
        )


def _watch_run(work: Work) -> list[str]:
    return evidence_intake.add_post_notice_evidence(
        work.workspace, work.values["run"], work.run_inputs(), work.secret(), work.actor, work.role
    )


_KIND_FIELDS = {
    "phone": "phones", "mail": "mails", "identity": "identities", "address": "addresses",
}  # fmt: skip


def redaction_marks(work: Work, suggested: Sequence[Any]) -> Any:
    """Return what is marked in an exhibit (`redaction.Marks`), of what was suggested and beside."""
    v = work.values
    return exhibit_redaction.make_marks(
        suggested,
        kinds=[kind for kind, name in _KIND_FIELDS.items() if v[name]],
        names=v["name"],
        texts=v["text"],
        regions=v["region"],
        keep=v["keep"],
        pictures_seen=v["pictures_seen"],
    )


def _redact_exhibit(work: Work) -> tuple[Redaction, Any]:
    """Redact the exhibit; return what was removed and what was marked."""
    v = work.values
    suggested = exhibit_redaction.suggest_marks(work.workspace, v["exhibit"], v["name"])
    marks = redaction_marks(work, suggested)
    if not work.by:
        raise UsageError("who redacts is not stated", fix="say who it is", code="name-missing")
    done = exhibit_redaction.redact_exhibit(
        work.workspace, v["exhibit"], marks, work.actor, work.role
    )
    return done, marks


def _known_item(work: Work) -> Evidence:
    item: str = work.values["item"]
    if item not in work.case.evidence:
        raise UsageError(
            f"there is no evidence {item[:40]}", fix="see the case", code="not-in-case"
        )
    return work.case.evidence[item]


def _statement(v: Values) -> evidence_items.Statement:
    return evidence_items.Statement(
        v["conduct"],
        v["violation"],
        v["began"],
        v["until"],
        v["zone"] or None,
        v["date_basis"],
        Basis(v["basis"]) if v["basis"] else None,
        Strength(v["strength"]) if v["strength"] else None,
        tuple(v["jointly"]),
        v["part"],
    )


def _switch(name: str, help_text: str) -> Field:
    option = Option(help_text, f"--{name.replace('_', '-')}", False, flag=(False, True))
    return Field(name, kind="choice", option=option)


def _marked(name: str, help_text: str) -> Field:
    return Field(name, kind="lines", option=Option(help_text, default=()))


ACTS = (
    Act(
        "add_exhibit", "Add an exhibit", "Take it in", "claims",
        (
            fields.FILE,
            Field(
                "kind", "What it is", "choice",
                values=fields.words(
                    "claim", "document", "delivery", "reply", "test_purchase", "partner_notice"
                ),
                option=Option("What it is.", default=None),
            ),
            Field("title", "Title", option=Option("What it is called.", default="")),
            Field(
                "authority", "By what authority", hint="A mandate, an order, a ticket.",
                option=Option("By what authority.", default="not stated"),
            ),
        ),
        _add_exhibit, (steps.ExhibitAdded,),
        about="An upload is dated by nobody: what it shows, and since when, a person says.",
        ordered=False, command="exhibit",
        help="Add an exhibit: a captured claim with its custody, or a file.",
        example="Examples: `wavebreak case exhibit cases/C-7 claims/bulk --by Noa`; `wavebreak "
        "case exhibit cases/C-7 receipt.pdf --kind delivery --by Noa`", why=fields.WHY_NOT_STATED,
    ),
    Act(
        "add_evidence", "Draw evidence from an exhibit", "Draw the evidence", "claims",
        (
            replace(
                fields.EXHIBIT, option=Option("An exhibit (E1), or what `run -o` wrote.", "SOURCE")
            ),
            fields.WHOSE,
            fields.CONDUCT,
            fields.VIOLATION,
            Field(
                "seen", "Where it was seen", "choice",
                values=fields.words("on_platform", "off_platform"),
                option=Option("Where it was seen.", default="off_platform"),
            ),
            *fields.DATES,
            *fields.TIE,
            *fields.JOINT,
        ),
        _add_evidence, (steps.EvidenceAdded, steps.StateChanged, steps.TaskAdded),
        about="It counts as not known until a person reviews it.", guard=fields.date_faults,
        ordered=False, command="evidence",
        help="Add evidence of conduct from an exhibit, or from a run with all inputs to reproduce "
        "it.\n\nWithout dates they are those that the exhibit gives itself: the time of a "
        "capture, what a page\nsays of its publication, the log of a run. Where it gives none "
        "they stay unknown. Conduct after\na notice reopens the case.",
        example="Examples: `wavebreak case evidence cases/C-7 E1 --party P1 --conduct engaged "
        "--violation bulk --until 2021-03 --date-basis 'the invoice' --basis statement --strength "
        "strong --by Noa`; `wavebreak case evidence cases/C-7 out --account a-17 --party P1 "
        "--conduct engaged --violation automated --by Noa`", why=fields.WHY_NOT_STATED,
    ),
    Act(
        "correct_evidence", "Correct evidence", "Save the evidence", "claims",
        (
            fields.ITEM,
            fields.may_state(fields.WHOSE),
            fields.may_state(fields.CONDUCT, "What the party did."),
            fields.VIOLATION,
            *fields.DATES,
            *fields.TIE,
            *fields.JOINT,
        ),
        _correct_evidence, (steps.EvidenceCorrected, steps.StateChanged, steps.TaskAdded),
        about="The earlier wording stays in the sealed steps. A person reviews it again.",
        guard=fields.date_faults, command="correct",
        help="State an item of evidence anew: its dates, conduct or tie; it has to be confirmed "
        "again.\n\nWhat is not given stays. Dates that nobody gave a basis for are taken from "
        "the exhibit again.",
        example="Example: `wavebreak case correct cases/C-7 V1 --until 2021-03 --date-basis 'the "
        "invoice' --by Noa --why 'the month was missing'`", why=fields.WHY_NEEDED,
    ),
    Act(
        "review_evidence", "Review evidence", "Seal the review", "claims",
        (
            fields.ITEM,
            Field(
                "shows", "Does the exhibit show this?", "choice",
                values=[("yes", "Yes, it shows it"), ("no", "No, it does not")],
                option=Option("It does not show this.", "--reject", False, flag=("yes", "no")),
            ),
            Field(
                "language", "Its language, where you do not read it", required=False,
                hint="Arabic. Then name the translation as well.",
                option=Option("Its language, which you do not read.", default=""),
            ),
            Field(
                "translator", "Who translated it", required=False,
                option=Option("Who translated it.", default=""),
            ),
            Field(
                "translation", "The exhibit that is the translation", "choice", required=False,
                choices=fields.exhibits,
                option=Option("The exhibit that is its translation: E8.", default=""),
            ),
        ),
        _review_evidence, (steps.EvidenceReviewed,), guard=_translation_faults, command="confirm",
        help="Show an item with its dates, ask, and confirm that its exhibit shows it, or reject "
        "it.", example="Example: `wavebreak case confirm cases/C-7 V1 --by Noa`", why=fields.WHY,
    ),
    Act(
        "watch_run", "Search a later run", "Search it", "claims",
        (Field("run", kind="path", option=Option("What `run -o` wrote.", "RUN")),),
        _watch_run,
        (steps.ExhibitAdded, steps.EvidenceAdded, steps.StateChanged, steps.TaskAdded),
        form=False, command="watch",
        help="Search a later run for conduct of parties that had a notice; if found, reopen the "
        "case.", example="Example: `wavebreak case watch cases/C-7 out --by 'the nightly job'`",
        why=replace(fields.WHY, default="watching after a notice"),
    ),
    Act(
        "redact_exhibit", "Redact an exhibit", "Redact it", "claims",
        (
            Field("exhibit", "Exhibit", option=Option("The exhibit: E3.", "EXHIBIT")),
            _switch("phones", "Remove every phone number suggested."),
            _switch("mails", "Remove every mail suggested."),
            _switch("identities", "Remove every identity number suggested."),
            _switch("addresses", "Remove every postal address suggested."),
            _marked("name", "Remove this name; again for more."),
            _marked("text", "Remove these words; again for more."),
            _marked(
                "region",
                "Remove a region: PAGE:LEFT,TOP,RIGHT,BOTTOM in thousandths of the page.",
            ),
            _marked("keep", "Do not remove this suggestion."),
            _switch(
                "pictures_seen",
                "A person looked: pictures, and pages without text, show nothing more to remove.",
            ),
        ),
        _redact_exhibit, (steps.ExhibitRedacted,), form=False, command="redact",
        help="Suggest personal data in an exhibit; or, with a reason, put a redacted copy in its "
        "place.\n\nThe copy is made anew: of a page its words, of a picture its pixels, of a PDF a "
        "picture of each\npage. Report and bundle hold the copy; the original remains in the "
        "case's directory, and its\ndigest stays sealed. Words are removed wherever they are, as "
        "whole words in any case.",
        example="Examples: `wavebreak case redact cases/C-7 E3 --name 'Dana Levi'` suggests; "
        "`wavebreak case redact cases/C-7 E3 --phones --mails --name 'Dana Levi' --region "
        "2:100,200,400,260 --why 'a customer, no party' --by Noa` redacts",
        why=replace(fields.WHY, help="Why it is redacted."),
    ),
)  # fmt: skip
