"""Narrowing waits for a person: every input of a key, a holder and a user, and what it narrows.

Nothing that a key of an adapter, a source, a list, a business or a holder says makes the service
see less, decide less, tell less or remember less for others. A new operation, event type or form
without a row fails here. A row names the tests that try it.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import msgspec
import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from mutation.bugs import ROOT, missing_test
from support.events import NOON
from wavebreak.io.field_limits import LIMITS
from wavebreak.io.jsonl import decode_event
from wavebreak.schema.events import TYPES, Refusal
from wavebreak_server.pipeline.admission import NO_RIGHTS, Admission, event_fault
from wavebreak_server.slices.routes import OPERATIONS

Reach = Literal["reads", "person", "own", "reports"]
"""What an operation may change: nothing; what a person's key says, with a reason and an audit
entry; what is the caller's own; what acts report, of the accounts that they name."""
SERVER, ENGINE = "packages/server/tests/integration", "packages/engine/tests"
BUSINESS = "packages/business/tests/service/test_business_api.py"
PERSONS = {"admin", "override"}


class Row(NamedTuple):
    """What an input reaches, what keeps it from others, and the tests that try it."""

    reach: Reach
    bound: str = ""
    tests: tuple[str, ...] = ()


READS, PERSON = Row("reads"), Row("person")
OF_A_PORTFOLIO = Row(
    "own",
    "portfolios that an administrator bound to the key",
    (f"{BUSINESS}::test_key_of_a_business_sees_its_own_portfolio_alone",
     f"{BUSINESS}::test_business_neither_approves_nor_decides_nor_speaks_as_a_person"),
)  # fmt: skip
ACTS = Row(
    "reports",
    "by event type: see EVENTS",
    (f"{SERVER}/test_service_admission.py::test_label_without_override_is_refused_in_every_form",
     f"{SERVER}/test_service_admission.py::test_event_ahead_of_the_clock_is_refused_in_every_form",
     f"{SERVER}/test_budgets.py::test_sender_is_held_to_its_budgets",
     f"{SERVER}/test_service_memory.py::test_key_that_used_up_its_names_waits_for_the_next_hour"),
)  # fmt: skip
OF_A_LIST = (
    "packages/server/tests/service/test_admission.py::test_key_of_a_list_tells_that_list_alone"
)

API: dict[str, Row] = {
    "take_events": ACTS,
    "decide": ACTS,
    "declare_self": Row(
        "own",
        "a change waits for an administrator",
        (f"{SERVER}/test_service_sources.py::test_ingest_key_switches_no_rule_off",
         f"{SERVER}/test_service_sources.py::test_wider_declaration_waits_too",
         f"{SERVER}/test_coverage_by_source.py::test_a_narrower_source_takes_nothing_from_the_accounts_of_others"),
    ),
    "decide_sends": OF_A_PORTFOLIO,
    "put_template": OF_A_PORTFOLIO,
    "appeal_step": OF_A_PORTFOLIO,
    "add_consents": OF_A_PORTFOLIO,
    "tell_acts": Row(
        "reports", "what people did towards numbers of businesses",
        (f"{BUSINESS}::test_each_operation_takes_keys_of_its_scopes_alone",),
    ),
    **dict.fromkeys(
        ("override", "extend_quota", "declare_lane", "erase_personal", "label", "submit_appeal",
         "declare_source", "approve_source", "remove_source", "add_webhook", "remove_webhook",
         "rotate_webhook", "enable_webhook", "replay_webhook", "add_key", "rotate_key",
         "revoke_key", "put_portfolio", "set_standing", "bind_key", "unbind_key"),
        PERSON,
    ),
    **dict.fromkeys(
        ("openapi", "docs", "account", "account_override", "account_extension", "account_personal",
         "account_lane", "decisions", "follow_decisions", "checkpoint", "sealed_decision",
         "continued", "states", "follow_states", "query_states", "statement", "list_appeals",
         "get_appeal", "outside_lists", "convicted", "list_operators", "get_operator", "sources",
         "webhooks", "dead_letters", "keys", "metrics", "healthz", "readyz", "audit", "portfolios",
         "show_portfolio", "standing_history", "portfolio_templates", "query_consent",
         "portfolio_keys"),
        READS,
    ),
}  # fmt: skip
"""What each operation of the API reaches."""

QUERIES = {"query_states", "query_consent"}
"""Reading operations that take a body."""

RIGHTS: dict[str, Admission] = {
    "labels": Admission(labels=True, others=False),
    "lists": Admission(lists=True, others=False),
    "declares": Admission(declares=True, others=False),
    "others": NO_RIGHTS,
}
EVENTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(TYPES, ("others",)),
    # A label acts as a person's verdict: beside the right to label, that to send events.
    "label.assigned": (),
    "account.listed": ("lists",),
    "account.unlisted": ("lists",),
    # By an administrator's operation alone, whose sender may send anything else.
    "account.declared": (),
}
"""Which right alone lets an event of each type into the log."""

Form = Literal["reads", "two", "one", "own"]
CONSOLE: dict[str, Form] = {
    # Nobody brings a policy or a model live alone, or a source's narrower declaration by its key.
    **dict.fromkeys(("policy_approve", "policy_live", "model_approve", "model_promote"), "two"),
    # One person's, whose role has it, with a reason and an audit entry.
    **dict.fromkeys(
        ("policy_rollback", "model_rollback", "approve_source",
         "policy_reject", "model_reject", "policy_upload", "policy_start",
         "model_register", "model_compare",
         "act", "decide", "share_case", "revoke_share",
         "bulk", "undo_batch", "undo_act", "decide_appeal",
         "add_user", "change_user", "reset_user", "add_key", "revoke_key",
         "add_webhook", "remove_webhook", "enable_webhook", "make_report", "recount",
         "open_case", "case_act", "case_bundle_build", "legal_exhibit_redact",
         "portfolio_act", "portfolio_appeal",
         "declare_lane"),
        "one",
    ),
    # A claim ends by itself with its lease; a case that one person skips goes to others.
    **dict.fromkeys(
        ("queue_next", "claim", "release", "skip", "profile", "language", "portfolio_consents",
         "save_view", "remove_view"),
        "own",
    ),
}  # fmt: skip
"""Whose each form of the console is; pages that take no form read alone."""

HOLDERS: dict[str, Row] = {
    "notice": Row(
        "own", "an answer whether help helped, once a viewer",
        (f"{SERVER}/test_appeals.py::test_help_answer_counts_once_a_viewer",),
    ),
    "help": Row(
        "own", "the same",
        (f"{SERVER}/test_appeals.py::test_help_answer_counts_once_a_viewer",),
    ),
    "business": READS,
    "notice_json": READS,
    "appeal_page": Row(
        "own", "one appeal a decision, opened by a code; a group is marked, and nothing is refused",
        (f"{SERVER}/test_appeals.py::test_appeal_form_of_another_site_or_page_is_refused",
         f"{SERVER}/test_appeals.py::test_public_pages_limit_a_peer_and_large_forms",
         "packages/server/tests/console/test_appeals.py::test_appeals_over_an_operators_quota_are_received_together"),
    ),
}  # fmt: skip
"""What each public page lets a holder say."""

WORDS: dict[str, Row] = {
    "label by a key that is no person's": Row(
        "own", "it observes, and lifts nothing that a person decided",
        (f"{ENGINE}/engine/test_labels_by_others.py::test_label_abusive_by_others_observes",
         f"{ENGINE}/engine/test_labels_by_others.py::test_label_by_others_does_not_lift_a_persons_ban"),
    ),
    "outside list": Row(
        "own", "the list of its key's source; it delays where an administrator says so",
        (OF_A_LIST,
         f"{SERVER}/test_service_lists.py::test_only_a_key_of_lists_tells_listings_and_nothing_else",
         f"{ENGINE}/engine/test_outside_lists.py::test_listed_stranger_is_delayed_where_list_and_administrator_say_so",
         f"{ENGINE}/engine/test_outside_lists.py::test_person_overrides_every_list_for_good"),
    ),
    "a date ahead": Row(
        "reports", "refused ahead of the service's clock",
        (f"{SERVER}/test_service_admission.py::test_event_ahead_of_the_clock_is_refused_in_every_form",),
    ),
    "an act in the name of another source's account": Row(
        "reports", "that account is judged by what both carry, no other is",
        (f"{ENGINE}/engine/test_accounts_of_sources.py::test_accounts_are_judged_by_what_their_source_carries",
         f"{ENGINE}/engine/test_accounts_of_sources.py::test_what_others_do_does_not_change_who_reports_an_account"),
    ),
    "a webhook that fails": Row(
        "own", "it alone is disabled, and the metrics say so",
        (f"{SERVER}/test_isolation.py::test_hostile_receivers_delay_nothing_else",
         f"{SERVER}/test_isolation.py::test_webhook_that_fails_for_long_is_disabled"),
    ),
    "reports that convict": Row(
        "reports", "two operators' at least teach a score",
        ("packages/lab/tests/training/test_home.py",),
    ),
}  # fmt: skip
"""What the words that reach the log, and the answers of receivers, may do to others."""


def test_every_operation_has_a_row() -> None:
    assert {each.name for each in OPERATIONS} == API.keys()


def test_operations_that_only_read_take_no_change() -> None:
    reading = [each for each in OPERATIONS if API[each.name].reach == "reads"]
    assert [
        each.name for each in reading if each.method != "GET" and each.name not in QUERIES
    ] == []


def test_what_a_person_says_needs_a_persons_scope() -> None:
    wide = [
        each.name
        for each in OPERATIONS
        if API[each.name].reach == "person" and not set(each.scopes) <= PERSONS
    ]
    assert wide == []


def _sample(kind: str) -> Any:
    """Return the smallest event of a type."""
    values: dict[str, Any] = {
        "peer": "bob", "label": "abusive", "source": "analyst", "lane": "courier", "list": "cme",
        "entry": "0" * 64, "advice": "delay", "group": "g", "kind": "code", "seconds": 9,
    }  # fmt: skip
    event: dict[str, Any] = {"type": kind, "ts": NOON, "id": "e", "account": "ann"}
    for _ in range(8):
        read = decode_event(msgspec.json.encode(event))
        if not isinstance(read, Refusal):
            return read
        event[read.field] = values.get(read.field, "x")
    raise AssertionError(f"{kind}: {event} is none")


@pytest.mark.parametrize("kind", TYPES)
def test_event_enters_the_log_by_its_right_alone(kind: str) -> None:
    event = _sample(kind)
    admitted = tuple(name for name, rights in RIGHTS.items() if event_fault(event, rights) is None)
    assert admitted == EVENTS[kind]


def _forms() -> dict[str, tuple[str, ...]]:
    console = next(
        each
        for each in get_resolver("wavebreak_server.console.urls").url_patterns
        if isinstance(each, URLResolver) and str(each.pattern) == "console/"
    )
    found: dict[str, tuple[str, ...]] = {}
    for each in console.url_patterns:
        assert isinstance(each, URLPattern)
        view: Any = each.callback
        found[str(each.name)] = view.methods
    return found


def test_every_form_of_the_console_has_a_row() -> None:
    taking = {name for name, methods in _forms().items() if "POST" in methods}
    assert taking - READING_FORMS == CONSOLE.keys()


READING_FORMS = {"accounts", "bulk_preview"}
"""Forms that store nothing: what is typed shall be in no address."""


def test_every_public_page_has_a_row() -> None:
    public = get_resolver("wavebreak_server.console.public_urls").url_patterns
    assert {each.name for each in public if isinstance(each, URLPattern)} == HOLDERS.keys()


@pytest.mark.parametrize("rows", [API, HOLDERS, WORDS], ids=["api", "holders", "words"])
def test_whatever_keys_and_holders_say_is_tried(rows: dict[str, Row]) -> None:
    untried = [n for n, row in rows.items() if row.reach in ("own", "reports") and not row.tests]
    assert untried == []
    named = {test for row in rows.values() for test in row.tests}
    assert [fault for test in sorted(named) if (fault := missing_test(ROOT, test))] == []


def test_every_type_of_event_has_limits_and_a_right() -> None:
    assert set(EVENTS) == set(TYPES) == set(LIMITS)
