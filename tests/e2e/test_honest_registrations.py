"""Honest accounts without numbers are left alone, and whoever writes to strangers is slowed."""

from __future__ import annotations

import pyarrow as pa
import pytest

from support.honest_accounts import (
    COLUMNS,
    HONEST,
    VERIFICATIONS,
    as_log,
    honest_rows,
    opening_rows,
    spam_rows,
    subsets,
    with_fields,
    with_requests,
    without_contacts,
)
from wavebreak import rules
from wavebreak.engine import Engine
from wavebreak.engine.decision import Decision
from wavebreak.schema import coverage
from wavebreak.schema.events import TYPES

POLICY = rules.load_policy()
BURST = POLICY.allowances.personal.newcomers + 1
"""A newcomer writes to fewer strangers within an hour who have not answered."""
HOMESERVER = (
    "account.registered", "account.registered.client", "account.registered.ip",
    "contact.accepted", "contact.looked_up", "contact.refused", "contact.requested",
    "contact.requested.via", "group.created", "group.joined", "group.left", "group.member_added",
    "message.read", "message.read.message", "message.sent", "message.sent.in_contacts",
    "message.sent.media", "message.sent.size", "session.started", "session.started.client",
    "session.started.ip", "user.blocked", "user.reported",
)  # fmt: skip
"""What a module of a homeserver carries, whether or not it has happened yet."""
FELT = ("challenge", "limit", "restrict", "suspend", "ban")


def decide(log: pa.RecordBatch, *, enforce: bool, carries: tuple[str, ...] = ()) -> list[Decision]:
    """Decide on a log as `wavebreak run` does, with the coverage that it has or is said to have."""
    profile = coverage.declared(carries, challenges=False) if carries else coverage.measure([log])
    engine = Engine(POLICY, profile, enforce=enforce, accounts=8_192)
    return engine.take(log) + engine.finish()


def felt_by_honest(made: list[Decision], stage: str = "") -> set[str]:
    of_stage = (d for d in made if d.stage == (stage or d.stage))
    return {d.account for d in of_stage if d.account[0] == "h" and d.outcome in FELT}


@pytest.mark.parametrize("verification", sorted(VERIFICATIONS))
def test_no_fields_of_registrations_limit_honest_accounts(verification: str) -> None:
    log = as_log(honest_rows(chats=4))
    tried = [fields for fields, kind in subsets() if kind == verification]
    for fields in tried:
        made = decide(with_fields(log, fields, verification), enforce=False)
        assert len(felt_by_honest(made, "registration")) <= 1, fields
        assert len(felt_by_honest(made)) <= 2, fields
    assert len(tried) in (12, 13)
    assert log.column("type").to_pylist().count(0) == HONEST


def test_every_subset_of_the_fields_is_tried() -> None:
    tried = {fields for fields, _ in subsets()}
    assert len(tried) == len(subsets()) == 2 ** len(COLUMNS)


@pytest.mark.parametrize("gap", [350, 5_000, 40_000])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_invitations_to_40_strangers_wait_within_the_hour(gap: int, seed: int) -> None:
    log = as_log(honest_rows(seed) + spam_rows(seed, gap, request=True, message=True))
    log = with_fields(log, ("ip", "client"), "none given")
    peers = dict(zip(log.column("id").to_pylist(), log.column("peer").to_pylist(), strict=True))
    made = decide(log, enforce=True)
    first = next(d for d in made if d.account == "spammer" and d.outcome in FELT)
    assert int(peers[first.trigger].removeprefix("victim")) < BURST
    assert felt_by_honest(made) == set()


@pytest.mark.parametrize("gap", [350, 5_000, 40_000])
@pytest.mark.parametrize("contacts", [True, False], ids=["contacts", "no-contacts"])
def test_plain_messages_of_a_new_account_reach_fifteen_strangers(
    gap: int, *, contacts: bool
) -> None:
    rows = honest_rows(4) + spam_rows(4, gap, request=False, message=True)
    log = as_log(rows if contacts else without_contacts(rows))
    log = with_fields(log, ("ip", "client"), "none given")
    peers = dict(zip(log.column("id").to_pylist(), log.column("peer").to_pylist(), strict=True))
    made = decide(log, enforce=True)
    first = next(d for d in made if d.account == "spammer" and d.outcome in FELT)
    assert int(peers[first.trigger].removeprefix("victim")) < BURST
    assert (first.outcome, first.new_chats_1d) <= ("limit", 10)
    assert felt_by_honest(made) == set()


def test_a_platform_with_numbers_delays_a_newcomer_likewise() -> None:
    log = as_log(honest_rows(4) + spam_rows(4, 5_000, request=False, message=True))
    made = decide(with_fields(log, ("ip", "client", "phone"), "sms"), enforce=True)
    first = next(d for d in made if d.account == "spammer" and d.outcome in FELT)
    assert first.rules == ("first_contact_allowance",)


@pytest.mark.parametrize("seed", [1, 2])
def test_nobody_is_limited_on_a_platform_that_has_just_opened(seed: int) -> None:
    log = with_fields(as_log(opening_rows(seed)), ("ip", "client"), "none given")
    assert felt_by_honest(decide(log, enforce=True, carries=HOMESERVER)) == set()


@pytest.mark.parametrize("seed", [2, 3, 4])
@pytest.mark.parametrize("contacts", [True, False], ids=["contacts", "no-contacts"])
def test_invitations_of_honest_accounts_are_left_alone(seed: int, *, contacts: bool) -> None:
    rows = with_requests(honest_rows(seed), seed)
    log = as_log(rows if contacts else without_contacts(rows))
    made = decide(with_fields(log, ("ip", "client"), "none given"), enforce=True)
    assert log.column("type").to_pylist().count(TYPES.index("contact.requested")) > 10 * HONEST
    assert felt_by_honest(made) == set()
