"""The history check finds what no correct service could have answered."""

from __future__ import annotations

from support.history import History, LoggedEvent, Operation


def ingest(at: float, *events: str, ended: float | None = -1.0, **more: object) -> Operation:
    """An acknowledged body; answered one second later unless it is said otherwise."""
    ended = at + 1 if ended == -1.0 else ended
    accepted = True if ended is not None else None
    about = {"accepted": accepted, "ended": ended} | more
    return Operation("ingest", at, events=events, **about)  # type: ignore[arg-type]


def person(kind: str, at: float, outcome: str = "", ended: float | None = -1.0) -> Operation:
    ended = at + 1 if ended == -1.0 else ended
    accepted = True if ended is not None else None
    return Operation(kind, at, account="ann", outcome=outcome, ended=ended, accepted=accepted)


def logged(*ids: str, personal: bool = False) -> list[LoggedEvent]:
    return [LoggedEvent(each, "ann", personal) for each in ids]


def found(operations: list[Operation], log: list[LoggedEvent]) -> list[str]:
    return History(operations).check(log)


def test_history_that_holds_has_no_violation() -> None:
    operations = [
        ingest(0, "a", "b"),
        ingest(0.5, "c", ended=None),
        person("override", 2, "ban"),
        person("read", 4, "ban"),
        person("erase", 6),
    ]
    assert found(operations, logged("a", "b")) == []
    assert found(operations, logged("a", "b", "c")) == []


def test_lost_event_is_found() -> None:
    assert "1 acknowledged events are lost" in found([ingest(0, "a", "b")], logged("a"))[0]


def test_doubled_event_is_found() -> None:
    assert "in the log twice" in found([ingest(0, "a")], logged("a", "a"))[0]


def test_refused_event_in_the_log_is_found() -> None:
    refused = ingest(0, "a", accepted=False)
    assert "refused events are in the log" in found([refused], logged("a"))[0]


def test_order_against_real_time_is_found() -> None:
    operations = [ingest(0, "a"), ingest(5, "b")]
    assert found(operations, logged("a", "b")) == []
    assert "after position" in found(operations, logged("b", "a"))[0]


def test_order_of_overlapping_operations_is_free() -> None:
    operations = [ingest(0, "a"), ingest(0.5, "b")]
    assert found(operations, logged("b", "a")) == []


def test_repeat_answered_otherwise_is_found() -> None:
    operations = [
        ingest(0, "a", key="k", answer=b"1"),
        ingest(2, "a", key="k", answer=b"2"),
    ]
    assert "answered in two ways" in found(operations, logged("a"))[0]


def test_read_of_a_replaced_override_is_found() -> None:
    operations = [person("override", 0, "ban"), person("override", 2, "allow")]
    assert found([*operations, person("read", 4, "allow")], []) == []
    assert "was read as ban" in found([*operations, person("read", 4, "ban")], [])[0]


def test_read_during_an_override_shows_either() -> None:
    operations = [person("override", 0, "ban"), person("override", 2, "allow", ended=9)]
    for outcome in ("ban", "allow"):
        assert found([*operations, person("read", 4, outcome)], []) == []


def test_override_without_an_answer_may_come_later() -> None:
    operations = [person("override", 0, "ban", ended=None), person("override", 2, "allow")]
    for outcome in ("ban", "allow"):
        assert found([*operations, person("read", 4, outcome)], []) == []


def test_erased_pseudonym_in_the_log_is_found() -> None:
    operations = [ingest(0, "a"), person("erase", 3)]
    assert found(operations, logged("a")) == []
    assert "erased pseudonyms are in the log" in found(operations, logged("a", personal=True))[0]


def test_event_after_an_erasure_keeps_its_pseudonym() -> None:
    operations = [person("erase", 0), ingest(3, "a")]
    assert found(operations, logged("a", personal=True)) == []
