"""Acts on a case as a whole: opening, tasks, state, determinations and who signs them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from wavebreak.errors import CaseError, UsageError
from wavebreak.extras import LazyModule
from wavebreak.ledger.checkpoints import encode_verifier_key, load_verifier_key
from wavebreak_cases.acts import fields
from wavebreak_cases.acts.declaration import Act, Fault, Field, Option, Values, Work
from wavebreak_cases.bundles import case_steps, evidence_intake
from wavebreak_cases.cases import case as steps
from wavebreak_cases.cases.case import Case
from wavebreak_cases.cases.parties import Basis, Strength
from wavebreak_cases.cases.signatures import CaseSigner
from wavebreak_cases.cases.workflow import TRANSITIONS, same_person

# It reads runs with the engine, which takes seconds to import.
case_draft: Any = LazyModule("wavebreak_cases.bundles.case_draft")

_SAVED = "A page that your browser shows: save it as HTML or print it to PDF."


def _drafted(section: str, *declared: Field) -> Iterator[Field]:
    """Fields of the form that opens a case, under a heading; none of them is needed."""
    for each in declared:
        yield replace(each, section=section, required=False, option=None)


_OPEN = (
    Field(
        "id", "Number", hint="Letters, digits, dots and dashes; it is the case's name for good.",
        pattern=re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"),
        fault="is not well formed: use letters, digits, dots and dashes",
    ),
    Field("title", "Title", option=Option("What it is called.")),
    Field(
        "about", "What it is about", "area", required=False,
        option=Option("What it is about, in a paragraph.", default=""),
    ),
    *_drafted(
        "The party",
        Field(
            "party", "Party",
            hint="The name of the person or company. All below is of it, and may be left empty.",
        ),
        *(f for f in fields.PARTY_FIELDS if f.name in ("kind", "aliases", "domains", "numbers")),
    ),
    *_drafted(
        "What shows it",
        replace(
            fields.FILE,
            label="Their page, or another exhibit", hint=f"{fields.FILE.hint} {_SAVED}",
        ),
        fields.CONDUCT,
        fields.VIOLATION,
        replace(fields.BASIS, label="What ties the exhibit to the party"),
        replace(fields.STRENGTH, label="How strongly the exhibit is tied to it"),
    ),
    *_drafted("Its dates", *fields.DATES),
    *_drafted(
        "Its accounts here",
        Field(
            "account", "Accounts of the party", "lines",
            hint="One a line, as the console names them. Their pseudonyms are kept.",
        ),
        replace(fields.BASIS, name="account_basis", label="What ties the accounts to the party"),
        replace(
            fields.STRENGTH,
            name="account_strength", label="How strongly the accounts are tied to it",
        ),
    ),
)  # fmt: skip


def _open_case(work: Work) -> Sequence[Any]:
    """Open the case; where a party is given, draft it as `wavebreak case draft` does.

    Returns what could not be taken in (`case_draft.Failure`).
    """
    v = work.values
    if not v["party"]:
        work.take(steps.CaseOpened(v["title"], v["about"]))
        return ()
    draft = case_draft.CaseDraft(
        party=v["party"],
        title=v["title"],
        about=v["about"],
        kind=v["kind"] or "company",
        alias=v["aliases"],
        domain=v["domains"],
        number=v["numbers"],
        file=(str(v["file"]),) if v["file"] else (),
        account=v["account"],
        conduct=v["conduct"],
        violation=v["violation"] or (),
        began=v["began"],
        until=v["until"],
        zone=v["zone"],
        date_basis=v["date_basis"],
        basis=Basis(v["basis"]) if v["basis"] else None,
        strength=Strength(v["strength"]) if v["strength"] else None,
        account_basis=Basis(v["account_basis"]) if v["account_basis"] else None,
        account_strength=Strength(v["account_strength"]) if v["account_strength"] else None,
    )
    means = case_draft.DraftMeans(work.actor, work.role, work.secret(), _by_command, _by_command)
    failures: Sequence[Any] = case_draft.draft_case(work.workspace, draft, means).failures
    return failures


def _by_command(*_given: object) -> Any:
    raise CaseError("pages and runs are not taken in here", fix="use `wavebreak case draft`")


def _case_number_faults(_case: Case, values: Values, now: int | None) -> Iterator[Fault]:
    if values["id"] == "new":
        yield Fault("id", "“new” is no number of a case", "choose another")
    yield from fields.date_faults(_case, values, now)


def _add_task(work: Work) -> None:
    work.take(case_steps.task_added(work.case, work.values["what"], work.values["due"]))


def _prepare_determination(work: Work) -> str:
    reversals = work.reversals(work.case)
    evidence_intake.record_reversals(work.workspace, reversals, by=work.by, role=work.role)
    name, _ = evidence_intake.prepare_determination(
        work.workspace, work.values["party"], work.values["as_of"], work.policy, **work.signed
    )
    return name


def _name_signer(work: Work) -> None:
    v = work.values
    key = encode_verifier_key(load_verifier_key(v["key"]))
    work.take(steps.SignerNamed(CaseSigner(v["name"], v["signs_as"], key)))


def _sign_determination(work: Work) -> None:
    name: str = work.values["determination"]
    if name not in work.case.determinations:
        raise UsageError(f"there is no determination {name[:40]}", fix="see `wavebreak case show`")
    prepared = work.case.determinations[name]
    if any(same_person(each, prepared.by) for each in work.names):
        raise CaseError(
            f"who prepared {name} cannot sign it", fix="let another person sign: four eyes"
        )
    work.take(steps.DeterminationSigned(name, work.signature, work.session))


ACTS = (
    Act(
        "open_case", "Open a case", "Open the case", "", _OPEN, _open_case,
        (
            steps.CaseOpened, steps.PartyNamed, steps.ExhibitAdded, steps.EvidenceAdded,
            steps.AccountLinked,
        ),
        about="A title and a reason are enough. What you know of the party can be given at once: "
        "the exhibit is taken in, evidence is drawn from it, and the case then says what is "
        "missing.", guard=_case_number_faults, ordered=False, command="open",
        help="Open a case in a new directory.",
        example="Example: `wavebreak case open cases/C-7 --title 'Bulk Co' --by Noa`",
    ),
    Act(
        "add_task", "Add a task", "Add the task", "",
        (
            Field(
                "what", "What is to be done", "area",
                option=Option("What is to be done; or T1.", "WHAT"),
            ),
            Field(
                "due", "Until when (UTC)", "moment", required=False,
                option=Option("Until when: 2026-03-09T00:00:00Z.", default=""),
            ),
        ),
        _add_task, (steps.TaskAdded,), ordered=False, command="task",
        help="Add a task, or mark one as done.",
        example="Examples: `wavebreak case task cases/C-7 'buy a package' --due "
        "2026-03-09T00:00:00Z --by Noa`; `wavebreak case task cases/C-7 T1 --done --by Noa`",
    ),
    Act(
        "finish_task", "Finish a task", "It is done", "",
        (
            Field(
                "task", "Task", "choice", choices=fields.open_tasks,
                option=Option("What is to be done; or T1.", "WHAT"),
            ),
        ),
        lambda work: work.take(steps.TaskFinished(work.values["task"])), (steps.TaskFinished,),
        ordered=False, command="task", asked_by="done",
        switch=Option("That task is done.", "--done"),
    ),
    Act(
        "change_state", "Change the state", "Change the state", "",
        (
            Field(
                "to", "To", "choice",
                values=fields.words(*(state for state in TRANSITIONS if state != "opened")),
                choices=fields.next_states, option=Option("The state to go to.", "TO"),
            ),
        ),
        lambda work: work.take(steps.StateChanged(work.values["to"])), (steps.StateChanged,),
        command="advance",
        help="Change the state: investigating, noticed, determined, referred, closed, reopened.",
        example="Example: `wavebreak case advance cases/C-7 investigating --by Noa`",
        why=fields.WHY,
    ),
    Act(
        "prepare_determination", "Prepare a determination", "Prepare it", "determination",
        (
            replace(fields.PARTY, option=Option("On whom: P1.", "PARTY")),
            Field(
                "as_of", "As of (UTC)", "moment", required=False, past=True,
                hint="Left empty: as of now.",
                option=Option("As of: 2026-03-02T09:00:00Z (default: now).", default=""),
            ),
        ),
        _prepare_determination, (steps.DeterminationPrepared, steps.ActionReversed),
        about="It is advice from rules and dates. Another person reads the exhibits and signs.",
        command="determine",
        help="Prepare a determination: eligibility for legal action, its grounds, what would "
        "change it.", example="Example: `wavebreak case determine cases/C-7 P1 --by Noa`",
    ),
    Act(
        "name_signer", "Name a signer", "Name the signer", "determination",
        (
            Field("name", "Who may sign", option=Option("Who may sign.", "NAME")),
            Field(
                "key", "Verifier key",
                hint="As `wavebreak ledger keygen` printed it on the signer's machine: "
                "name+id+base64.", pattern=re.compile(r"[^+\s]+\+[0-9a-f]{8}\+[A-Za-z0-9+/=]+"),
                fault="is no verifier key: write it as name+id+base64",
                option=Option("Verifier key, or its file: `wavebreak ledger keygen` prints it."),
            ),
            Field(
                "signs_as", "In which role", option=Option("In which role.", "--role", "counsel")
            ),
        ),
        _name_signer, (steps.SignerNamed,),
        about="The person may then sign determinations of this case by command, with that key.",
        command="signer",
        help="Name a person who may sign determinations of the case, by a key that the person "
        "holds.",
        example="Example: `wavebreak case signer cases/C-7 'Adv. Levi' --role counsel --key "
        "levi.example+1a2b3c4d+AQ... --by Noa`", why=fields.WHY,
    ),
    Act(
        "sign_determination", "Sign a determination", "Sign", "determination",
        (
            Field(
                "determination", "Determination", "choice", choices=fields.unsigned,
                option=Option("The determination: D1.", "ITEM"),
            ),
        ),
        _sign_determination, (steps.DeterminationSigned,),
        about="You sign under the name that you are signed in with.", command="sign",
        help="Sign a determination with a key that the case names (`case signer`).\n\nThe signer "
        "is who the key belongs to, and may not be the person who prepared it.",
        example="Example: `wavebreak case sign cases/C-7 D1 --signing-key levi.key`",
        why=fields.WHY,
    ),
)  # fmt: skip
