"""Acts on a case as a whole: opening, tasks, state, determinations and who signs them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

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
_DIRECTORY = "The case's directory, new or not; of a batch, that of all."
_NAMES = {"aliases": "alias", "domains": "domain", "numbers": "number"}
"""Fields of a draft (`case_draft.CaseDraft`) by those of an act, where they differ."""

_ABOUT = Field(
    "about", "What it is about", "area", required=False,
    option=Option("What it is about, in a paragraph.", default=""),
)  # fmt: skip
_TITLE = Field("title", "Title", option=Option("What it is called."))
_PARTY = Field(
    "party", "Party",
    hint="The name of the person or company. All below is of it, and may be left empty.",
    option=Option("Whom it is about: a name, or P1 of this case.", default=""),
)  # fmt: skip
_FILE = replace(
    fields.FILE,
    label="Their page, or another exhibit",
    hint=f"{fields.FILE.hint} {_SAVED}",
    option=Option(
        "A saved page, a document, or what `claim` wrote; again for more.", "--file", default=()
    ),
)
_ACCOUNTS = (
    Field(
        "account", "Accounts of the party", "lines",
        hint="One a line, as the console names them. Their pseudonyms are kept.",
        option=Option("An account of the party, as in the events; again for more.", default=()),
    ),
    replace(
        fields.may_state(fields.BASIS, "What ties the accounts to the party."),
        name="account_basis", label="What ties the accounts to the party",
    ),
    replace(
        fields.may_state(fields.STRENGTH),
        name="account_strength", label="How strongly the accounts are tied to it",
    ),
)  # fmt: skip
_CONDUCT = fields.may_state(fields.CONDUCT, "What the party did.")
_TIE = (
    replace(
        fields.may_state(fields.BASIS, "What ties it to the party."),
        label="What ties the exhibit to the party",
    ),
    replace(fields.may_state(fields.STRENGTH), label="How strongly the exhibit is tied to it"),
)
_KIND, _ALIASES, _DOMAINS, _NUMBERS = (
    each for each in fields.PARTY_FIELDS if each.name in ("kind", *_NAMES)
)


def _drafted(section: str, *declared: Field) -> Iterator[Field]:
    """Fields of the form that opens a case, under a heading; none of them is needed."""
    for each in declared:
        yield replace(each, section=section, required=False, option=None)


_OPEN = (
    Field(
        "id", "Number", hint="Letters, digits, dots and dashes; it is the case's name for good.",
        pattern=re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"),
        fault="{value} is not well formed: use letters, digits, dots and dashes.",
    ),
    _TITLE,
    _ABOUT,
    *_drafted("The party", _PARTY, _KIND, _ALIASES, _DOMAINS, _NUMBERS),
    *_drafted("What shows it", _FILE, _CONDUCT, fields.VIOLATION, *_TIE),
    *_drafted("Its dates", *fields.DATES),
    *_drafted("Its accounts here", *_ACCOUNTS),
)  # fmt: skip

_DRAFT = (
    _PARTY,
    Field("url", kind="lines", option=Option("A page to capture; again for more.", default=())),
    replace(_FILE, kind="lines"),
    Field("run", option=Option("What `run -o` wrote, which shows the accounts.", default="")),
    _ACCOUNTS[0],
    _CONDUCT,
    fields.VIOLATION,
    *fields.DATES,
    *_TIE,
    *_ACCOUNTS[1:],
    replace(_TITLE, option=Option("What the case is called (default: party).", default="")),
    replace(_ABOUT, option=Option("What it is about, in a paragraph.", default="")),
    replace(_KIND, option=Option("What the party is.", default="company")),
    replace(_ALIASES, option=Option("Another name of the party.", "--alias", ())),
    replace(_DOMAINS, option=Option("A domain of the party.", "--domain", ())),
    replace(_NUMBERS, option=Option("A number it publishes, E.164.", "--number", ())),
)


def _open_case(work: Work) -> Sequence[Any]:
    """Open the case; where a party is given, draft it as `wavebreak case draft` does.

    Returns what could not be taken in (`case_draft.Failure`).
    """
    if not work.values["party"]:
        work.take(steps.CaseOpened(work.values["title"], work.values["about"]))
        return ()
    failures: Sequence[Any] = _draft_case(work).failures
    return failures


def _draft_case(work: Work) -> Any:
    """Draft the case; returns what came of it (`case_draft.DraftResult`)."""
    kinds: dict[str, Any] = {
        "basis": Basis, "strength": Strength, "account_basis": Basis, "account_strength": Strength,
        "file": lambda file: (str(file),) if isinstance(file, Path) else file,
    }  # fmt: skip
    given = {_NAMES.get(name, name): value for name, value in work.values.items() if value}
    known = case_draft.CaseDraft.__struct_fields__
    draft = case_draft.CaseDraft(
        **{name: kinds.get(name, lambda v: v)(given[name]) for name in known if name in given}
    )
    means = case_draft.DraftMeans(
        work.actor, work.role, work.secret(), partial(work.capture, work.actor), work.run_inputs,
        work.show,
    )  # fmt: skip
    return case_draft.draft_case(work.workspace, draft, means)


def drafted_values(draft: Any) -> dict[str, Any]:
    """Return the values of `draft_case` of a draft that a file states (`case_draft.CaseDraft`)."""
    columns = {column: name for name, column in _NAMES.items()}
    values: dict[str, Any] = msgspec.structs.asdict(draft)
    return {columns.get(name, name): value for name, value in values.items()}


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
        raise UsageError(
            f"there is no determination {name[:40]}", fix="see the case", code="not-in-case"
        )
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
        help="Open a case in a new directory.", place="A new directory; its name is the case's id.",
        example="Example: `wavebreak case open cases/C-7 --title 'Bulk Co' --by Noa`",
    ),
    Act(
        "draft_case", "Draft a case", "Draft the case", "", _DRAFT, _draft_case,
        (
            steps.CaseOpened, steps.PartyNamed, steps.ExhibitAdded, steps.EvidenceAdded,
            steps.EvidenceCorrected, steps.AccountLinked,
        ),
        form=False, command="draft",
        help="Draft a plain case: open it, name the party, take in pages, a run and accounts, read "
        "them.\n\nNothing is confirmed, and what is not stated stays unknown: the command ends "
        "with what is\nmissing and the commands that fill it in. Drafting again continues after an "
        "interruption, takes\nnothing in twice, adds what is new, and corrects evidence that "
        "nobody has confirmed. A page that\ncannot be taken in keeps nothing else out; the command "
        "then exits with 1.",
        example="Examples: `wavebreak case draft cases/C-7 --party 'Bulk Co Ltd' --url "
        "https://bulk.example/ --run out --account a-17 --conduct engaged --violation bulk --by "
        "Noa`; `wavebreak case draft cases/C-7` shows what is missing; `wavebreak case draft cases "
        "--batch new.csv --by Noa`", place=_DIRECTORY, why=fields.WHY_NOT_STATED,
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
                fault="{value} is no verifier key: write it as name+id+base64.",
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
