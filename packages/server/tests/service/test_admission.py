"""Bodies that are decoded together are each held to what their own sender may send."""

from __future__ import annotations

import json

import pytest

from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak_server.pipeline.admission import Admission, LabelRecord
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


def _decoded(admissions: list[Admission], form: str) -> list[DecodeResult]:
    content = json.dumps(EVENTS) if form == "json" else "\n".join(map(json.dumps, EVENTS))
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
