"""Acts on notices to a party: sent, delivered, not served, answered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from msgspec import UNSET

from wavebreak.errors import UsageError
from wavebreak_cases.acts import fields
from wavebreak_cases.acts.declaration import Act, Fault, Field, Option, Values, Work
from wavebreak_cases.bundles import case_steps, evidence_intake
from wavebreak_cases.cases import case as steps
from wavebreak_cases.cases.case import Case
from wavebreak_cases.cases.notices import Delivery, Notice, Reply, ServiceAttempt

_PROOF = (
    "what arrived, or was answered, needs its proof",
    "give --exhibit E3 and --how, or --method and --address",
)


def draft_notice(work: Work) -> Notice:
    """Return a notice as it would be recorded; nothing is written."""
    v = work.values
    return evidence_intake.draft_notice(
        work.workspace,
        v["party"],
        v["template"],
        v["language"],
        operator=v["operator"],
        contact=v["contact"],
        days=v["days"],
        policy=work.policy,
        about=v["about"],
        calendar=v["calendar"],
    )


def _send_notice(work: Work) -> None:
    v = work.values
    if not v["letter"]:
        drafted = draft_notice(work)
        sent = drafted.sent
    else:
        drafted, sent = case_steps.read_draft(v["letter"]), v["sent"]
        if drafted.party != v["party"]:
            raise UsageError(
                f"the letter is to {drafted.party}, not {v['party']}",
                fix="give the party of the letter",
            )
    work.take(steps.NoticeSent(case_steps.sent_notice(work.case, drafted, sent, v["exhibit"])))


def _record_past_notice(work: Work) -> None:
    v = work.values
    past = case_steps.past_notice(
        work.case, v["party"], v["language"], v["at"], v["exhibit"], v["days"]
    )
    work.take(steps.NoticeSent(past))


def _record_failed_service(work: Work) -> None:
    v = work.values
    attempt = ServiceAttempt(
        v["notice"], work.moment("at"), v["method"], v["address"], v["failure"],
        v["exhibit"] or UNSET,
    )  # fmt: skip
    work.take(steps.ServiceFailed(attempt))


def _record_delivery(work: Work) -> None:
    v = work.values
    method = v["method"] or (v["how"] if v["address"] and work.session == "console" else "")
    arrived = v["how"] or f"{v['method']}, {v['address']}"
    delivery = Delivery(
        v["notice"], work.moment("at"), arrived, v["exhibit"], method or UNSET,
        v["address"] or UNSET,
    )  # fmt: skip
    work.take(steps.NoticeDelivered(delivery))


def _delivery_faults(_case: Case, values: Values, _now: int | None) -> Iterator[Fault]:
    if not values["exhibit"]:
        yield Fault("exhibit", *_PROOF)
    if not values["how"] and not values["method"]:
        yield Fault("how", *_PROOF)


def _record_reply(work: Work) -> None:
    v = work.values
    work.take(steps.ReplyReceived(Reply(v["notice"], work.moment("at"), v["about"], v["exhibit"])))


ACTS = (
    Act(
        "send_notice", "Write a notice", "Record as sent", "notices",
        (
            replace(fields.PARTY, option=Option("To whom: P1.", "PARTY")),
            Field(
                "template", "Template", "choice", choices=fields.templates,
                option=Option("Which one.", default="cease_and_desist"),
            ),
            fields.LANGUAGE,
            Field(
                "operator", "Who writes", hint="The operator's name.",
                option=Option("Who writes: the operator's name.", default=""),
            ),
            Field(
                "contact", "Where answers reach the operator",
                option=Option("Where answers reach the operator.", default=""),
            ),
            fields.DAYS,
            Field(
                "calendar", "Calendar of days of business", required=False,
                hint="israel, united-states; empty: the party's, else the operator's.",
                option=Option(
                    "Count days of business by this calendar: israel, united-states.", default=""
                ),
            ),
            Field(
                "exhibit", "The exhibit that proves that it was sent", "choice", required=False,
                choices=fields.exhibits,
                hint="Asked for again beside the letter, where you record it as sent.",
                option=Option("It was sent: the exhibit that proves it, E4.", default=""),
            ),
            Field(
                "about", "Of a reminder: the notice", "choice", required=False,
                choices=fields.notices, option=Option("Of a reminder: the notice, N1.", default=""),
            ),
            Field(
                "sent", kind="moment", required=False, on_form=False,
                option=Option("It was sent: when, 2024-03-01T09:00:00Z.", default=""),
            ),
            Field(
                "letter", kind="path", required=False, on_form=False,
                option=Option("It was sent: the draft of the letter, N1.json.", default=None),
            ),
        ),
        _send_notice, (steps.NoticeSent,),
        about="You see the letter first. Nothing is sent from here: send it, then record it "
        "with its proof.", previewed=True, command="notice", asked_by="letter",
        help="Draft a notice to a party from a template; or record, with proof, that one was sent."
        "\n\nA draft is printed, with -o also written as a letter, and nothing is recorded. With "
        "--sent and\n--exhibit a notice is recorded as sent: the letter of --letter, else as the "
        "exhibit holds it.",
        example="Example: `wavebreak case notice cases/C-7 P1 --language he --operator 'Example' "
        "--contact legal@example.org --by Noa`",
    ),
    Act(
        "record_past_notice", "Record a notice sent before", "Record the notice", "notices",
        (
            replace(fields.PARTY, option=Option("To whom: P1.", "PARTY")),
            replace(
                fields.AT, option=Option("It was sent: when, 2024-03-01T09:00:00Z.", "--sent", "")
            ),
            fields.LANGUAGE,
            fields.DAYS,
            Field(
                "exhibit", "The exhibit that holds it", "choice", choices=fields.exhibits,
                option=Option("It was sent: the exhibit that proves it, E4.", default=""),
            ),
        ),
        _record_past_notice, (steps.NoticeSent,), ordered=False, command="notice",
        missing=(
            "a notice that was sent needs its date and its proof",
            "give both: --sent 2024-03-01T09:00:00Z --exhibit E4",
        ),
    ),
    Act(
        "record_failed_service", "Record a failed delivery", "Record the attempt", "notices",
        (
            fields.NOTICE,
            replace(fields.PROOF, required=False),
            fields.AT,
            Field(
                "method", "By what service", hint="Registered mail, a delivery service.",
                option=Option("By what service: registered mail, courier.", default=""),
            ),
            fields.ADDRESS,
            Field(
                "failure", "Why it failed", hint="Refused, moved, nobody there.",
                option=Option("It was attempted and failed: why.", "--failed", ""),
            ),
        ),
        _record_failed_service, (steps.ServiceFailed,), ordered=False, command="delivery",
        asked_by="failed",
        missing=(
            "a failed attempt needs its method and address",
            "give --method courier --address '12 Main Street'",
        ),
    ),
    Act(
        "record_delivery", "Record a delivery", "Record the delivery", "notices",
        (
            fields.NOTICE,
            fields.AT,
            Field(
                "how", "How it arrived", hint="By hand, registered mail, e-mail with receipt.",
                option=Option("How it arrived; of an answer: what it says.", default=""),
            ),
            replace(fields.ADDRESS, required=False),
            Field(
                "method", required=False, on_form=False,
                option=Option("By what service: registered mail, courier.", default=""),
            ),
            fields.PROOF,
        ),
        _record_delivery, (steps.NoticeDelivered,), guard=_delivery_faults, ordered=False,
        command="delivery",
        help="Record that a notice arrived, was answered, or could not be served, with what proves "
        "it.",
        example="Example: `wavebreak case delivery cases/C-7 N1 --exhibit E3 --how courier --by "
        "Noa`",
    ),
    Act(
        "record_reply", "Record an answer", "Record the answer", "notices",
        (
            fields.NOTICE,
            fields.AT,
            Field(
                "about", "What it says, in a line", "area",
                option=Option("How it arrived; of an answer: what it says.", "--how", ""),
            ),
            fields.PROOF,
        ),
        _record_reply, (steps.ReplyReceived,), ordered=False, command="delivery", asked_by="answer",
        switch=Option("This is the party's answer.", "--answer"), missing=_PROOF,
    ),
)  # fmt: skip
