"""Acts on the parties of a case, their relations and their accounts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from msgspec import UNSET

from wavebreak.extras import LazyModule
from wavebreak_cases.acts import fields
from wavebreak_cases.acts.declaration import Act, Fault, Field, Option, Values, Work
from wavebreak_cases.bundles import case_steps, evidence_intake
from wavebreak_cases.cases import case as steps
from wavebreak_cases.cases.case import Case
from wavebreak_cases.cases.parties import Bar, Basis, Relation, Strength

# It reads runs with the engine, which takes seconds to import.
account_erasure: Any = LazyModule("wavebreak_cases.bundles.account_erasure")


def _name_party(work: Work) -> None:
    v = work.values
    lists = {name: v[name] for name in ("aliases", "domains", "numbers", "apps", "sites")}
    named = case_steps.party_named(
        work.case,
        v["name"],
        kind=v["kind"],
        number=v.get("party", ""),
        note=v["note"],
        calendar=v["calendar"],
        age=v["age"] or "not_stated",
        **lists,
    )
    work.take(named)


def _relate_parties(work: Work) -> None:
    v = work.values
    strength, dates = Strength(v["strength"]), case_steps.tie_dates(v, work.by)
    relation = Relation(v["party"], v["other"], v["kind"], strength, v["exhibit"], dates)
    evidence_intake.relate_parties(work.workspace, relation, **work.signed)


def _relation_faults(case: Case, values: Values, now: int | None) -> Iterator[Fault]:
    yield from fields.tie_date_faults(case, values, now)
    if values["party"] and values["party"] == values["other"]:
        yield Fault("other", "a party has no relation with itself", "choose another party")


def _merge_faults(_case: Case, values: Values, _now: int | None) -> Iterator[Fault]:
    if values["keep"] and values["keep"] == values["drop"]:
        yield Fault("drop", "these parties are one already", "choose another party")


def _link_account(work: Work) -> None:
    v = work.values
    tie = (v["party"], v["account"], Basis(v["basis"]), Strength(v["strength"]), v["exhibit"])
    dates = case_steps.tie_dates(v, work.by)
    work.take(case_steps.account_linked(work.case, work.secret(), *tie, dates))


def _erase_account(work: Work) -> Any:
    ledger: Path | None = work.values["ledger"]
    account = work.values["account"]
    return account_erasure.erase_account(
        work.workspace, work.secret(), account, ledger=ledger, by=work.by, role=work.role,
        why=work.why,
    )  # fmt: skip


def _record_bar(work: Work) -> None:
    v = work.values
    ended = UNSET if v["ended"] is None else v["ended"]
    work.take(steps.BarRecorded(Bar(v["party"], v["kind"], v["at"], v["exhibit"], ended)))


def _bar_faults(_case: Case, values: Values, _now: int | None) -> Iterator[Fault]:
    if values["at"] is None:
        yield Fault("at", "since when it is so is not stated", "give it: 2026-03-02T00:00:00Z")


def _record_reversal(work: Work) -> None:
    v = work.values
    reversal = case_steps.action_reversed(
        work.case, work.secret(), v["account"], v["at"], v["source"]
    )
    if reversal.account not in work.case.reversals:
        why = work.why or reversal.basis
        work.workspace.take(steps.ActionReversed(reversal), by=work.by, role=work.role, why=why)


ACTS = (
    Act(
        "add_party", "Name a party", "Name the party", "parties",
        fields.PARTY_FIELDS,
        _name_party, (steps.PartyNamed,), ordered=False, command="party",
        help="Add a party: a person or company, with aliases, domains, business numbers, apps, "
        "sites.",
        example="Example: `wavebreak case party cases/C-7 'Bulk Co Ltd' --domain bulk.example --by "
        "Noa`",
    ),
    Act(
        "change_party", "Correct a party", "Save the party", "parties",
        (
            replace(fields.PARTY, option=Option("P1: name that party anew.", "--id", "")),
            *fields.PARTY_FIELDS,
        ),
        _name_party, (steps.PartyNamed,), about="The earlier wording stays in the sealed steps.",
        command="party", asked_by="id",
    ),
    Act(
        "relate_parties", "Relate two parties", "Record the relation", "parties",
        (
            replace(fields.PARTY, option=Option("A party.", "ONE")),
            Field(
                "kind", "is the", "choice",
                values=fields.words("affiliate", "successor", "owner", "officer", "reseller"),
                option=Option("What it is of the other.", "--is"),
            ),
            Field(
                "other", "of", "choice", choices=fields.parties,
                option=Option("Of which it is …", "OTHER"),
            ),
            replace(fields.STRENGTH, option=Option("How strongly.", default="unknown")),
            fields.EXHIBIT,
            *fields.TIE_DATES,
        ),
        _relate_parties, (steps.PartiesRelated, steps.StateChanged, steps.TaskAdded),
        guard=_relation_faults, ordered=False, command="relate",
        help="Record a relation between two parties, with the exhibit that shows it.",
        example="Example: `wavebreak case relate cases/C-7 P2 P1 --is affiliate --exhibit E1 --by "
        "Noa`",
    ),
    Act(
        "merge_parties", "Merge two parties", "Merge them", "parties",
        (
            Field(
                "keep", "The party that stays", "choice", choices=fields.parties,
                option=Option("The party that stays.", "KEEP", ""),
            ),
            Field(
                "drop", "The party that is the same", "choice", choices=fields.parties,
                option=Option("The party that is the same.", "DROP", ""),
            ),
        ),
        lambda work: work.take(steps.PartiesMerged(work.values["keep"], work.values["drop"])),
        (steps.PartiesMerged,),
        about="Evidence, accounts and notices of both count as of one. A step can undo it.",
        guard=_merge_faults, command="merge",
        help="Propose parties that may be the same, with reasons; or merge two, as a person "
        "decides.",
        example="Examples: `wavebreak case merge cases/C-7` proposes; `wavebreak case merge "
        "cases/C-7 P1 P2 --by Noa --why 'one register entry'` merges P2 into P1", why=fields.WHY,
    ),
    Act(
        "unmerge_parties", "Undo a merge", "Undo the merge", "parties",
        (
            Field(
                "party", "The party that is another one", "choice", choices=fields.merged_parties,
                option=Option("The party that is another one after all.", "PARTY"),
            ),
        ),
        lambda work: work.take(steps.PartiesUnmerged(work.values["party"])),
        (steps.PartiesUnmerged,),
        about="The party is itself again, with its own evidence. The merge stays in the steps.",
        command="unmerge",
        help="Undo a merge by a step of its own: the party is itself again, with its own evidence."
        "\n\nWhat the other party got from it is taken away there, unless it was named with that "
        "itself.\nDeterminations on either have to be prepared again.",
        example="Example: `wavebreak case unmerge cases/C-7 P2 --by Noa --why 'another register "
        "entry'`", why=fields.WHY_NEEDED,
    ),
    Act(
        "link_account", "Link an account", "Link the account", "parties",
        (
            replace(fields.PARTY, option=Option("The party.", "PARTY")),
            Field(
                "account", "Account", hint="As the console names it. Its pseudonym is kept.",
                option=Option("The account's id, as in the events.", "ACCOUNT"),
            ),
            fields.BASIS,
            fields.STRENGTH,
            fields.EXHIBIT,
            *fields.TIE_DATES,
        ),
        _link_account, (steps.AccountLinked,), guard=fields.tie_date_faults, ordered=False,
        command="link",
        help="Link an account to a party, with the exhibit that shows it; only its pseudonym is "
        "stored.\n\nOf an account that changed hands, say until when it was the party's: its later "
        "conduct founds\nnothing against that party.",
        example="Example: `wavebreak case link cases/C-7 P1 +972501234567 --basis number_in_claim "
        "--strength moderate --exhibit E1 --by Noa`", why=fields.WHY,
    ),
    Act(
        "erase_account", "Erase what opens entries on an account", "Erase", "parties",
        (
            Field(
                "account", "Account",
                hint="As the console names it, or its pseudonym in this case.",
                option=Option("The account: its id as in the events, or its pseudonym.", "ACCOUNT"),
            ),
            Field(
                "ledger", kind="path", required=False, on_form=False,
                option=Option("Erase in this ledger of a run too; needs the own id.", default=None),
            ),
        ),
        _erase_account, (steps.AccountErased,),
        about="Sealed entries on it can then not be opened. Steps and exhibits remain, under "
        "the pseudonym. Say which request this answers.",
        nothing="no sealed entry on the account can be opened any more", command="erase",
        help="Erase what opens the sealed entries on an account; say what was found and what "
        "remains.\n\nSteps and exhibits are evidence under the pseudonym, and remain. The step "
        "that records the\nerasure is named by later determinations and by the report.",
        example="Examples: `wavebreak case erase cases/C-7 +972501234567 --why 'request of 3 May' "
        "--by Noa`; `wavebreak case erase cases/C-7 a-27317357c7601754229b25ba --why 'request 12' "
        "--by Noa`", why=replace(fields.WHY_NEEDED, help="Why: the request that it answers."),
    ),
    Act(
        "record_bar", "Record a settlement, a stay or an insolvency", "Record it", "parties",
        (
            replace(fields.PARTY, option=Option("The party.", "PARTY")),
            Field(
                "kind", "What stands in the way", "choice",
                values=fields.words("settlement", "stay", "insolvency"),
                option=Option("What stands in the way of action."),
            ),
            replace(
                fields.AT, label="Since when; of a settlement, until when it covers conduct (UTC)",
                option=Option(
                    "Since when; of a settlement, until when it covers conduct.", "--since", ""
                ),
            ),
            fields.EXHIBIT,
            Field(
                "ended", "When it ended (UTC)", "moment", required=False, past=True,
                option=Option("When it ended.", default=""),
            ),
        ),
        _record_bar, (steps.BarRecorded,), guard=_bar_faults, ordered=False, command="bar",
        about="While a stay or an insolvency lasts nothing is served and no party is referred. "
        "Recorded again with its end, it takes the earlier one's place.",
        help="Record a settlement with a party, a stay of action against it, or its insolvency.\n\n"
        "A settlement covers conduct until its date. While a stay or an insolvency lasts, a "
        "determination\nsays that the party is barred, and nothing is served.",
        example="Example: `wavebreak case bar cases/C-7 P1 --kind stay --since "
        "2026-03-02T00:00:00Z --exhibit E5 --by Noa`", why=fields.WHY,
    ),
    Act(
        "record_reversal", "Record that an action was reversed", "Record the reversal", "parties",
        (
            Field(
                "account", "Account", hint="As the console names it. Its pseudonym is kept.",
                option=Option("The account's id, as in the events.", "ACCOUNT"),
            ),
            replace(fields.AT, option=Option("When: 2026-03-02T09:00:00Z.")),
            Field(
                "source", "Where that is recorded",
                hint="Appeal 4471, decided by the support team.",
                option=Option("Where that is recorded."),
            ),
        ),
        _record_reversal, (steps.ActionReversed,),
        about="What an appeal took back is no evidence any more. Appeals and overrides of this "
        "service are found without it.", ordered=False, command="reversal",
        help="Record that an appeal reversed the action against an account: it no longer is "
        "evidence.",
        example="Example: `wavebreak case reversal cases/C-7 a-17 --at 2026-03-02T09:00:00Z "
        "--source 'appeal 4471, decided by the support team' --by Noa`",
    ),
)  # fmt: skip
