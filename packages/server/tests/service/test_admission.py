"""Bodies that are decoded together are each held to what their own sender may send."""

from __future__ import annotations

import json
from typing import Any

import pytest

from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.schema.events import AccountUnlisted
from wavebreak_server.pipeline.admission import Admission, LabelRecord, event_fault
from wavebreak_server.pipeline.request_decoder import Body, DecodeResult, RequestDecoder
from wavebreak_server.settings import Limits

NOON = 1_772_366_400_000
EVENTS = [
    {"id": "1", "ts": NOON, "type": "message.sent", "account": "a", "peer": "b"},
    {"id": "2", "ts": NOON, "type": "label.assigned", "account": "c", "label": "abusive",
     "source": "analyst"},
    {"id": "3", "ts": NOON + 5, "type": "account.registered", "account": "d", "phone": "+99"},
    {"id": "4", "ts": NOON + 9, "type": "message.sent", "account": "a", "peer": "b"},
]  # fmt: skip
MAY, EARLY, NEITHER = (
    Admission(labels=True),
    Admission(labels=True, before_ms=NOON + 9),
    Admission(before_ms=NOON + 9),
)


def _decoded(
    admissions: list[Admission], form: str, events: list[dict[str, Any]] = EVENTS
) -> list[DecodeResult]:
    content = json.dumps(events) if form == "json" else "\n".join(map(json.dumps, events))
    bodies = [Body(content.encode(), form, admission=each) for each in admissions]
    decoder = RequestDecoder(Pseudonymizer(b"a key for tests only"), Limits())
    decoded = decoder.decode(bodies)
    results = [read for read in decoded.reads if isinstance(read, DecodeResult)]
    assert decoded.log.num_rows == sum(read.taken for read in results)
    return results


@pytest.mark.parametrize("form", ["json", "lines"])
def test_joint_bodies_keep_the_rights_of_their_senders(form: str) -> None:
    results = _decoded([NEITHER, MAY, EARLY, NEITHER], form)
    causes = [[(r.line, r.cause) for r in read.refused] for read in results]
    bad, scope, ahead = (3, "bad_value"), (2, "missing_scope"), (4, "ahead_of_clock")
    assert causes == [[scope, bad, ahead], [bad], [bad, ahead], [scope, bad, ahead]]
    label = (LabelRecord("c", "abusive", "analyst"),)
    assert [read.labels for read in results] == [(), label, label, ()]


def test_refusal_names_line_field_and_fix() -> None:
    (read,) = _decoded([NEITHER], "lines")
    assert read.refused[0].message == (
        "line 2: field `type`: labels need the scope `override` — fix: send labels with a key that "
        "has the scope, or by POST /v1/labels"
    )
    assert read.refused[2].message.startswith("line 4: field `ts`: ahead of this service's clock")


LISTINGS: list[dict[str, Any]] = [
    {"id": f"{kind}-{name}", "ts": NOON, "type": f"account.{kind}", "account": "a", "list": name,
     "entry": "0" * 64} | ({"advice": "delay"} if kind == "listed" else {})
    for name in ("cme", "xmppbl")
    for kind in ("listed", "unlisted")
]  # fmt: skip


@pytest.mark.parametrize("form", ["json", "lines"])
def test_key_of_a_list_tells_that_list_alone(form: str) -> None:
    of_one = Admission(lists=True, others=False, source="cme")
    of_any = Admission(lists=True, others=False)
    results = _decoded([of_one, of_any, NEITHER], form, LISTINGS)
    causes = [[(r.line, r.cause, r.field) for r in read.refused] for read in results]
    other = [(line, "missing_scope", "list") for line in (3, 4)]
    assert causes == [other, [], [(line, "missing_scope", "type") for line in (1, 2, 3, 4)]]


def test_recorded_listing_of_another_list_is_refused() -> None:
    event = AccountUnlisted(ts=NOON, id="u", account="a", list="xmppbl")
    of_one = Admission(lists=True, others=False, source="cme")
    fault = event_fault(event, of_one)
    assert fault is not None
    assert fault.field == "list"
    assert event_fault(event, Admission(lists=True, others=False)) is None
