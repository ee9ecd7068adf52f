"""Events in, answers out: registry, consent, ids that change, repeated and misdated events."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import numpy as np
import pytest

from support.ledger_fixtures import SIGNER
from support.platform_scene import DAY, HOUR, MINUTE, NOON
from wavebreak.errors import EventError
from wavebreak.ledger import Ledger, MemoryStorage, read_entry
from wavebreak.ledger.entries import make_entry
from wavebreak_business.platform import kernel as k
from wavebreak_business.platform.events import AnyPlatformEvent, read_events
from wavebreak_business.platform.laws import CATEGORIES
from wavebreak_business.platform.platform import Platform, Result
from wavebreak_business.settings import load_settings

SETTINGS = load_settings()
PROOF = hashlib.sha256(b"a signed form").hexdigest()


def event(kind: str, ts: int, **fields: Any) -> Any:
    return msgspec.convert({"type": kind, "ts": ts, **fields}, AnyPlatformEvent)


def registered(
    name: str = "shop", at: int = NOON - DAY, numbers: tuple[str, ...] = ("n1",), **more: Any
) -> list[Any]:
    listed = [{"number": number, "display_name": "Shop"} for number in numbers]
    fields = {"business": name, "legal_name": "Shop Ltd", "verified": True, "owners": ["dana"]}
    made = [event("portfolio.updated", at, **{**fields, "numbers": listed, "paced": False, **more})]
    for category in CATEGORIES:
        made.append(
            event(
                "template.updated", at, business=name, template=f"{name}-{category}",
                category=category, language="he", status="approved",
            )
        )  # fmt: skip
    return made


def send(
    ts: int, peer: str, template: str | None = "shop-marketing", number: str = "n1", **more: Any
) -> Any:
    return event("message.sent", ts, account=number, peer=peer, template=template, **more)


def grant(ts: int, account: str, **more: Any) -> Any:
    return event("consent.granted", ts, account=account, business="shop", **more)


def revoke(ts: int, account: str, **more: Any) -> Any:
    return event("consent.revoked", ts, account=account, business="shop", **more)


def platform(*events: Any, workers: int = 1) -> Platform:
    made = Platform(SETTINGS, workers=workers)
    assert made.apply([*registered(), *events]).refused == []
    return made


def outcomes(result: Result) -> list[str]:
    return [answer.outcome for answer in result.answers]


def test_answer_says_what_is_wrong_with_the_fields_code_and_a_way_out() -> None:
    (answer,) = platform().apply([send(NOON, "ann")]).answers
    assert (answer.outcome, answer.code, answer.retry_at) == ("no_consent", "", None)
    shop = platform(grant(NOON - HOUR, "ann"), revoke(NOON - 1, "ann"))
    (answer,) = shop.apply([send(NOON, "ann")]).answers
    assert (answer.outcome, answer.code) == ("opted_out", "131050")
    assert answer.meaning
    assert answer.fix


def test_template_of_nobody_is_refused_and_its_sender_is_no_business() -> None:
    shop = platform()
    (answer,) = shop.apply([send(NOON, "ann", "shop-utility", number="eve")]).answers
    assert (answer.outcome, answer.accepted) == ("no_portfolio", False)
    between = shop.apply([send(NOON, "ann", None, number="eve")])
    assert (between.answers, between.persons) == ([], 1)


def test_message_of_a_person_opens_a_window_and_says_the_basis() -> None:
    shop = platform(event("message.sent", NOON, account="ann", peer="n1"))
    told = shop.apply([send(NOON + DAY - 1, "ann", None), send(NOON + DAY, "ann", None)]).answers
    assert [answer.basis for answer in told] == ["window", ""]
    assert outcomes(shop.apply([send(NOON + DAY + 1, "ann", "shop-utility")])) == ["accepted"]


def test_window_counts_in_the_events_own_time_after_a_silence_and_after_a_burst() -> None:
    shop = platform(event("message.sent", NOON, account="ann", peer="n1"))
    later = NOON + 3 * DAY
    told = shop.apply([send(later, "ann", None), send(later, "ben", "shop-utility")]).answers
    assert [(answer.outcome, answer.at) for answer in told] == [
        ("window_closed", later), ("accepted", later)
    ]  # fmt: skip
    burst = [send(later + 1, f"p{n}", "shop-utility") for n in range(200)]
    shop.apply(burst)
    (answer,) = shop.apply([send(later + 60_000, "cleo", "shop-utility")]).answers
    assert (answer.outcome, answer.at) == ("accepted", later + 60_000)


def test_claim_without_proof_is_on_record_and_no_basis() -> None:
    shop = platform(grant(NOON, "ann", source="import"))
    assert outcomes(shop.apply([send(NOON + 1, "ann")])) == ["no_consent"]
    (word,) = shop.consents.words(0, shop.person("ann"))
    assert (word.counts, word.source, word.proof) == (False, "import", None)
    shop.apply([grant(NOON + 2, "ann", source="import", proof=PROOF)])
    assert outcomes(shop.apply([send(NOON + 3, "ann")])) == ["accepted"]
    basis = shop.basis("n1", "ann", "marketing")
    assert basis.state == "granted"
    assert basis.word is not None
    assert basis.word.proof == PROOF


@pytest.mark.parametrize("category", [None, "marketing"])
@pytest.mark.parametrize("number", [None, "n1"])
def test_claim_of_a_business_lifts_no_revocation(category: str | None, number: str | None) -> None:
    claim = {"source": "form", "proof": PROOF, "number": number, "category": category}
    shop = platform(grant(NOON, "ann"), revoke(NOON + 1, "ann"), grant(NOON + 2, "ann", **claim))
    assert shop.consents.words(0, shop.person("ann"))[-1].counts is False
    assert outcomes(shop.apply([send(NOON + 3, "ann")])) == ["opted_out"]
    shop.apply([grant(NOON + 4, "ann")])
    assert outcomes(shop.apply([send(NOON + 5, "ann")])) == ["accepted"]


def test_claim_counts_where_the_person_revoked_something_else() -> None:
    stop = revoke(NOON, "ann", category="marketing")
    shop = platform(stop, grant(NOON + 1, "ann", source="form", proof=PROOF, category="utility"))
    assert shop.consents.words(0, shop.person("ann"))[-1].counts is True
    assert shop.basis("n1", "ann", "utility").state == "granted"


def test_basis_of_a_send_is_that_of_its_place_in_the_log() -> None:
    shop = platform(grant(NOON, "ann", source="form", proof=PROOF))
    before = shop.position
    shop.apply([revoke(NOON + 5, "ann")])
    assert shop.basis("n1", "ann", "marketing", before).state == "granted"
    assert shop.basis("n1", "ann", "marketing").state == "revoked"
    assert shop.basis("n1", "ann", "utility").state == "granted"
    assert shop.basis("n1", "ben", "marketing").state == "none"


def test_revocation_in_mid_campaign_binds_from_the_next_message() -> None:
    shop = platform(*[grant(NOON, f"p{n}") for n in range(50)])
    campaign: list[Any] = [send(NOON + HOUR + n * 20, f"p{n % 50}") for n in range(100)]
    campaign.insert(60, revoke(NOON + HOUR + 60 * 20, "p20"))
    told = shop.apply(campaign).answers
    assert [n for n, answer in enumerate(told) if not answer.accepted] == [70]
    assert told[70].outcome == "opted_out"


def test_changed_id_keeps_window_limit_and_consent() -> None:
    shop = platform(
        grant(NOON, "ann"), event("message.sent", NOON, account="ann", peer="n1"),
        send(NOON + 1, "ann"),
        event("account.id_changed", NOON + 2, account="ann2", previous="ann"),
    )  # fmt: skip
    told = shop.apply([
        send(NOON + HOUR, "ann2", None), send(NOON + DAY, "ann2"), send(NOON + DAY + 1, "ann"),
    ]).answers  # fmt: skip
    assert [answer.outcome for answer in told] == ["accepted"] * 3
    assert [answer.basis for answer in told] == ["window", "consent", "consent"]
    assert shop.state.used_of(0) == 1
    shop.apply([revoke(NOON + DAY + 2, "ann")])
    assert outcomes(shop.apply([send(NOON + DAY + 3, "ann2")])) == ["opted_out"]


def test_stop_under_a_former_id_is_on_record_under_the_new_one() -> None:
    shop = platform(
        grant(NOON, "ann2"), revoke(NOON + 1, "ann"),
        event("account.id_changed", NOON + 2, account="ann2", previous="ann"),
    )  # fmt: skip
    words = [word.granted for word in shop.consents.words(0, shop.person("ann2"))]
    assert (words, shop.basis("n1", "ann2", "marketing").state) == ([True, False], "revoked")


def test_id_that_somebody_else_takes_has_no_consent_any_more() -> None:
    shop = platform(
        grant(NOON, "ann"), grant(NOON, "ben"),
        event("account.id_changed", NOON + 1, account="ann2", previous="ann"),
        event("account.registered", NOON + 2, account="ann"),
        event("account.registered", NOON + 2, account="ann2"),
        event("account.deleted", NOON + 3, account="ben"),
    )  # fmt: skip
    told = outcomes(
        shop.apply([send(NOON + 4 + n, who) for n, who in enumerate(("ann", "ann2", "ben"))])
    )
    assert told == ["no_consent", "accepted", "no_consent"]


def test_repeated_event_counts_once_and_has_no_second_answer() -> None:
    shop = platform(grant(NOON, "ann"))
    twice = [send(NOON + 1, "ann", id="m1"), send(NOON + 1, "ann", id="m1")]
    result = shop.apply(twice)
    assert (len(result.answers), result.repeated) == (1, 1)
    assert shop.apply(twice).answers == []
    again = shop.apply([send(NOON + 2, "ann")])
    assert shop.apply([send(NOON + 2, "ann")]).repeated == len(again.answers) == 1


def test_event_dated_far_ahead_moves_no_window_and_no_limit() -> None:
    shop = platform(event("message.sent", NOON, account="ann", peer="n1"))
    misdated = event("message.read", NOON + 3000 * DAY, account="zoe", peer="n1", id="m")
    result = shop.apply([misdated, send(NOON + HOUR, "ann", None)])
    assert [name for name, _ in result.refused] == ["m"]
    assert outcomes(result) == ["accepted"]
    (late,) = shop.apply([send(NOON - 5 * DAY, "ann", None)]).answers
    assert (late.outcome, late.at) == ("accepted", NOON + HOUR)


def test_recreated_portfolio_of_a_barred_owner_begins_where_that_is() -> None:
    shop = platform()
    for _ in range(7):
        shop.state.reverse_step(0, NOON)
        k.step_up(shop.state.ports.records[0], shop.state.laws, NOON)
    shop.state.ports.records[0]["step"] = 7
    shop.state.ports.records[0]["until"] = k.ENDLESS
    result = shop.apply([
        *registered("fresh", NOON + 1, ("n2",)),
        *registered("other", NOON + 1, ("n3",), owners=["eve"]),
        send(NOON + 2, "ann", "fresh-utility", number="n2"),
        send(NOON + 2, "ann", "other-utility", number="n3"),
    ])  # fmt: skip
    assert outcomes(result) == ["locked", "accepted"]
    fresh = shop.portfolio("fresh")
    assert fresh is not None
    assert fresh.linked == ("shop",)
    shop.apply([event("portfolio.updated", NOON + 3, business="shop", appeal="opened")])
    shop.apply([event("portfolio.updated", NOON + 4, business="shop", appeal="reversed")])
    both = [
        send(NOON + 5, "ann", "fresh-utility", number="n2"),
        send(NOON + 5, "ann", "shop-utility"),
    ]
    assert outcomes(shop.apply(both)) == ["accepted", "accepted"]


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ({"business": "other", "numbers": [{"number": "n1", "display_name": "x"}]}, "another"),
        ({"business": "shop", "appeal": "opened"}, "on no step"),
        ({"business": "shop", "appeal": "reversed"}, "on no step"),
    ],
)
def test_change_that_is_not_possible_is_refused_whole(wrong: dict[str, Any], what: str) -> None:
    shop = platform()
    before = shop.registry.dump()
    ((_, error),) = shop.apply([event("portfolio.updated", NOON, **wrong, limit=7)]).refused
    assert what in error.what
    assert error.fix
    assert shop.registry.dump() == before
    assert int(shop.state.ports.records[0]["limit"]) == 2000


def test_number_that_left_sends_no_more_and_can_go_elsewhere() -> None:
    shop = platform(event("portfolio.updated", NOON, business="shop", removed=["n1"]))
    assert shop.apply([send(NOON + 1, "ann")]).answers[0].outcome == "no_portfolio"
    result = shop.apply(registered("other", NOON + 2, ("n1",)))
    assert result.refused == []
    told = shop.apply([send(NOON + 3, "ann", "other-utility")])
    assert outcomes(told) == ["accepted"]


def test_every_change_is_an_entry_that_hides_people_and_owners() -> None:
    shop = platform()
    result = shop.apply(
        [
            grant(NOON, "ann", source="form", proof=PROOF, id="c1"),
            *registered("b", NOON, ("n9",)),
        ]
    )
    ledger, openings = Ledger(MemoryStorage(), SIGNER), []
    for draft in result.drafts:
        entry, opened = make_entry(*draft, at=NOON, salts=lambda count: bytes(count))
        ledger.seal([entry])
        openings.append(opened)
    lines = [ledger.storage.line(n) for n in range(ledger.size)]
    assert [read_entry(line).kind for line in lines] == ["consent", "portfolio", *["template"] * 3]
    text = b"".join(lines)
    assert PROOF.encode() in text
    for secret in (b"ann", b"dana", b"Shop Ltd"):
        assert secret not in text
    assert openings[0]["person"][1] == "ann"
    assert openings[1]["record"][1]["owners"] == ("dana",)


def random_events(rng: np.random.Generator, count: int) -> list[Any]:
    made = [*registered("shop", NOON - DAY, ("n1", "n2")), *registered("b", NOON - DAY, ("n3",))]
    at = NOON
    people = [f"p{n}" for n in range(12)]
    for _ in range(count):
        at += int(rng.choice([0, 20, 6000, HOUR, DAY]))
        who, number = str(rng.choice(people)), str(rng.choice(["n1", "n2", "n3"]))
        business = "b" if number == "n3" else "shop"
        scope = number if rng.random() < 0.4 else None
        category = [None, *CATEGORIES][int(rng.integers(4))]
        kind = rng.random()
        if kind < 0.5:
            made.append(send(at, who, f"{business}-{category or 'marketing'}", number=number))
        elif kind < 0.75:
            source = str(rng.choice(["person", "form", "import"]))
            proof = PROOF if source == "form" else None
            made.append(event(
                "consent.granted", at - int(rng.choice([0, HOUR])), account=who, business=business,
                number=scope, category=category, source=source, proof=proof, id=f"g{len(made)}",
            ))  # fmt: skip
        elif kind < 0.9:
            made.append(event(
                "consent.revoked", at, account=who, business=business, number=scope,
                category=category, id=f"r{len(made)}",
            ))  # fmt: skip
        elif kind < 0.95:
            made.append(event("message.sent", at, account=who, peer=number))
        else:
            new = f"p{len(made)}"
            made.append(event("account.id_changed", at, account=new, previous=who))
            people.append(new)
    return made


@pytest.mark.parametrize("seed", range(8))
def test_answers_are_the_same_cut_restored_and_on_seven_workers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    events = random_events(rng, 400)
    whole = Platform(SETTINGS).apply(events)
    parted, answers = Platform(SETTINGS, workers=7), []
    for part in np.split(
        np.arange(len(events)), sorted(rng.integers(len(events), size=6).tolist())
    ):
        answers += parted.apply([events[n] for n in part]).answers
        restored = Platform(SETTINGS, workers=int(rng.integers(1, 8)))
        restored.load(parted.dump())
        parted = restored
    assert answers == whole.answers
    assert {answer.outcome for answer in answers} >= {"accepted", "opted_out", "no_consent"}


@pytest.mark.parametrize("seed", range(8))
def test_consent_ledger_says_what_the_compiled_rules_decide(seed: int) -> None:
    shop = Platform(SETTINGS)
    for each in random_events(np.random.default_rng(100 + seed), 300):
        result = shop.apply([each])
        for answer in result.answers:
            named = each.template.split("-")[1]
            state = shop.basis(each.account, each.peer, named).state
            if answer.outcome == "opted_out":
                assert state == "revoked"
            elif answer.outcome == "no_consent":
                assert state == "none"
            elif answer.basis == "consent":
                assert state == "granted"
            elif answer.accepted:
                assert state != "revoked"


def test_lines_that_are_no_events_are_named_without_their_values() -> None:
    with pytest.raises(EventError) as raised:
        read_events(
            [b"", b'{"type":"consent.granted","ts":1,"account":"Dana Planted","business":7}']
        )
    assert "line 2" in str(raised.value)
    assert "Dana" not in str(raised.value)
    read = read_events([b'{"type":"typing.started","ts":1,"account":"a","peer":"b"}'])
    assert (read.events, read.others) == ([], 1)


def test_window_of_a_free_entry_point_is_three_days() -> None:
    shop = platform(event("entry.opened", NOON, account="ann", peer="n1"))
    shop.apply([send(NOON + n * DAY, "ben", "shop-utility") for n in range(1, 3)])
    told = shop.apply([send(NOON + 3 * DAY - 1, "ann", None), send(NOON + 3 * DAY, "ann", None)])
    assert outcomes(told) == ["accepted", "window_closed"]


def test_step_of_the_ladder_is_told_with_its_end_and_sealed() -> None:
    shop = platform(*[grant(NOON - HOUR, f"p{n}") for n in range(200)])
    shop.apply([send(NOON + n * 20, f"p{n}") for n in range(200)])
    blocks = [event("user.blocked", NOON + HOUR + n, account=f"p{n}", peer="n1") for n in range(12)]
    result = shop.apply(blocks)
    assert [change.what for change in result.changes][:1] != []
    steps = [change for change in result.changes if change.what == "step"]
    assert [(step.portfolio, step.value) for step in steps] == [("shop", 1)]
    (draft,) = [draft for draft in result.drafts if draft.kind == "standing"]
    assert draft.body.step == "warning"  # type: ignore[attr-defined]
    assert draft.body.until == steps[0].at + DAY  # type: ignore[attr-defined]


def held_scene() -> tuple[Platform, list[Any]]:
    """A shop whose new template was held after five hundred people, and what it held."""
    shop = platform()
    people = [f"p{n}" for n in range(503)]
    shop.apply([grant(NOON, who) for who in people])
    sends = [send(NOON + HOUR + n * 20, who, id=f"m{n}") for n, who in enumerate(people)]
    answers = shop.apply(sends).answers
    held = {answer.id for answer in answers if answer.outcome == "held"}
    return shop, [each for each in sends if each.id in held]


def test_held_send_is_asked_again_when_it_is_released() -> None:
    shop, held = held_scene()
    assert [each.peer for each in held] == ["p500", "p501", "p502"]
    at = NOON + HOUR + MINUTE
    assert {shop.held_outcome(each, at) for each in held} == {"held"}
    shop.apply([revoke(at, "p501")])
    told = [shop.held_outcome(each, NOON + 2 * HOUR) for each in held]
    assert told == ["released", "opted_out", "released"]


def test_held_send_of_a_number_that_left_is_dropped() -> None:
    shop, held = held_scene()
    shop.apply([event("portfolio.updated", NOON + HOUR, business="shop", removed=["n1"])])
    assert {shop.held_outcome(each, NOON + 2 * HOUR) for each in held} == {"dropped"}


def strangers(seed: int, count: int) -> list[Any]:
    """Random events, with sends to and reactions of people whom nobody knows among them."""
    rng = np.random.default_rng(seed)
    made = []
    for n, each in enumerate(random_events(rng, count)):
        made.append(each)
        if n > 10 and rng.random() < 0.7:
            at, who = int(each.ts), f"stranger{int(rng.integers(60))}"
            made.append(
                send(at, who, id=f"s{n}") if rng.random() < 0.6
                else event("user.blocked", at, account=who, peer="n1", id=f"s{n}")
            )  # fmt: skip
    return made


@pytest.mark.parametrize("seed", range(8))
def test_who_is_forgotten_changes_no_answer_however_it_is_cut(seed: int) -> None:
    events = strangers(seed, 300)
    whole = Platform(SETTINGS)
    expected = whole.apply(events)
    parted, answers = Platform(SETTINGS, forget_from=4), []
    for part in np.array_split(np.arange(len(events)), 7):
        answers += parted.apply([events[n] for n in part]).answers
        restored = Platform(SETTINGS, workers=3, forget_from=4)
        restored.load(parted.dump())
        parted = restored
    assert answers == expected.answers
    again = Platform(SETTINGS, forget_from=4)
    again.apply(events)
    for name in ("owners", "free", "retired", "position"):
        assert np.array_equal(parted.dump()[name], again.dump()[name]), name
    ids = [each.names.texts(range(len(each.names))).to_pylist() for each in (parted, again)]
    assert ids[0] == ids[1]
    assert len(again.names) < len(whole.names)


def test_ids_that_were_refused_take_no_room() -> None:
    shop = Platform(SETTINGS, forget_from=50)
    shop.apply([*registered(), grant(NOON, "ann")])
    for minute in range(200):
        at = NOON + minute * MINUTE
        shop.apply([send(at, f"u{minute}-{n}", id=f"{minute}-{n}") for n in range(20)])
    shop.apply([send(NOON + DAY, "zoe")])
    # Four thousand were written to in vain; of whom nothing is left, nothing is kept.
    assert (len(shop.names) < 200, shop.count < 200) == (True, True)
    assert outcomes(shop.apply([send(NOON + DAY + 1, "ann")])) == ["accepted"]
    assert shop.basis("n1", "ann", "marketing").state == "granted"


def test_id_that_is_forgotten_and_comes_again_begins_anew() -> None:
    shop = Platform(SETTINGS, forget_from=2)
    shop.apply([*registered(), *[send(NOON, f"u{n}", id=f"x{n}") for n in range(9)]])
    shop.apply([send(NOON + MINUTE, "late", id="y")])
    assert shop.known_person("u3") == -1
    assert outcomes(
        shop.apply([grant(NOON + MINUTE + 1, "u3"), send(NOON + MINUTE + 2, "u3")])
    ) == ["accepted"]


def test_reaction_of_who_was_never_written_to_makes_nobody_known() -> None:
    shop = Platform(SETTINGS)
    reactions = ("user.blocked", "user.reported", "user.muted", "message.read")
    shop.apply(
        [*registered(), *(event(kind, NOON, account="eve", peer="n1") for kind in reactions)]
    )
    shop.apply([event("person.weighed", NOON, account="hal", weight=100)])
    assert (len(shop.names), shop.count) == (0, 0)
