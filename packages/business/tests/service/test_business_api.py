"""The platform for businesses over HTTP: who may ask, each id once, restarts, two at once."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from support import service_harness
from support.business_service import (
    BECAUSE,
    decide,
    in_thread,
    live,
    ok,
    outcomes,
    own_key,
    register,
    say,
    sends,
    tell,
    word,
)
from support.service_harness import Live, Running
from wavebreak_business.service.live_platform import LivePlatform, opening
from wavebreak_business.service.models import LIMITS, PlatformRow, TakenId
from wavebreak_server.http.auth import SCOPES
from wavebreak_server.storage.models import AuditEntry, LedgerEntry

DAY, HOUR, MINUTE = 86_400_000, 3_600_000, 60_000
PROOF = hashlib.sha256(b"a signed form").hexdigest()
PHONE = "+972541234567"


def test_send_is_decided_with_its_code_and_when_it_opens(served_by_each: Live) -> None:
    async def test(made: Running) -> None:
        await register(made, limit=2)
        some = sends("ann", "ben", "cyd")
        some += sends("dan", template="marketing") + sends("eve", template=None)
        some += sends("fay", template="unheard") + sends("gil", number="n9")
        answer = await ok(made, "POST", "/v1/business/decide", portfolio="shop", sends=some)
        told = answer["answers"]
        assert outcomes(told) == [
            "accepted", "accepted", "limit", "no_consent", "window_closed", "template_missing",
            "no_portfolio",
        ]  # fmt: skip
        assert [each["code"] for each in told[2:]] == ["131048", "", "131047", "132001", ""]
        assert told[2]["retry_at_ms"] == told[0]["at_ms"] + DAY
        assert [each["retry_at_ms"] for each in told[3:]] == [None] * 4
        assert [each["basis"] for each in told[:3]] == ["not_required", "not_required", ""]
        assert [each["allowed"] for each in told] == [True] * 2 + [False] * 5
        explained = {each["outcome"]: each for each in answer["outcomes"]}
        assert explained.keys() == set(outcomes(told[2:]))
        assert all(each["meaning"] and each["fix"] for each in explained.values())
        assert explained["limit"]["code"] == "131048"

        await tell(made, {"id": "a1", "type": "message.sent", "account": "eve", "peer": "n1"})
        again = [{**sends("eve", template=None)[0], "id": "s2"}]
        assert (await decide(made, again))[0]["basis"] == "window"
        view = await ok(made, "GET", "/v1/business/shop")
        assert view["limit"] == {"limit": 2, "used": 2, "span": "24h"}

    served_by_each(test)


def test_repeated_send_gets_the_same_answer_and_counts_once(served: Live, clock: Any) -> None:
    async def test(made: Running) -> None:
        await register(made, limit=2)
        first = await decide(made, sends("ann", "ben", "cyd"))
        clock.ahead_ms = 20 * HOUR
        assert await decide(made, sends("ann", "ben", "cyd")) == first
        both = await decide(made, sends("ann", "ann"))
        assert both == [first[0], first[0]]
        view = await ok(made, "GET", "/v1/business/shop")
        assert view["limit"]["used"] == 2
        other = [{**sends("dan")[0], "id": "s-ann"}]
        answer = await made.ask(
            "POST", "/v1/business/decide", json={"portfolio": "shop", "sends": other}
        )
        assert (answer.status_code, answer.json()["type"]) == (409, "/api/docs#conflict")
        both = [{**send, "id": "twice"} for send in sends("eve", "fay")]
        answer = await made.ask(
            "POST", "/v1/business/decide", json={"portfolio": "shop", "sends": both}
        )
        assert answer.status_code == 409
        # Of another portfolio it is another id.
        await register(made, "clinic", "n2")
        assert outcomes(await decide(made, sends("dan", number="n2"), "clinic")) == ["accepted"]
        same = [{**sends("eve", number="n2")[0], "id": "s-ann"}]
        assert outcomes(await decide(made, same, "clinic")) == ["accepted"]

    served(test)


def test_two_at_once_are_taken_one_after_the_other(served_by_each: Live) -> None:
    async def test(made: Running) -> None:
        await register(made, limit=30)
        asked = [sends(*(f"p{n}-{k}" for k in range(5))) for n in range(20)]
        told = await asyncio.gather(*(decide(made, each) for each in asked + asked))
        assert told[:20] == told[20:]
        counts = Counter(each["outcome"] for one in told[:20] for each in one)
        assert counts == {"accepted": 30, "limit": 70}

    served_by_each(test)


def test_place_is_free_exactly_a_day_after_it_was_taken(served: Live, clock: Any) -> None:
    async def test(made: Running) -> None:
        await register(made, limit=1)
        now = service_harness.now_ms()
        made.service.clock = lambda: now
        (first,) = await decide(made, sends("ann"))
        assert first["at_ms"] == now
        for at, name, expected in ((DAY - 1, "b1", "limit"), (DAY, "b2", "accepted")):
            made.service.clock = partial(int, now + at)
            assert outcomes(await decide(made, sends(name))) == [expected]

    served(test)


def test_silence_of_days_frees_places_at_once(served: Live, clock: Any) -> None:
    async def test(made: Running) -> None:
        await register(made, limit=2)
        assert outcomes(await decide(made, sends("ann", "ben"))) == ["accepted"] * 2
        clock.ahead_ms = 3 * DAY
        (answer,) = await decide(made, sends("cyd"))
        assert (answer["outcome"], answer["at_ms"] >= made.service.clock() - MINUTE) == (
            "accepted", True,
        )  # fmt: skip

    served(test)


def test_restart_goes_on_where_the_log_ends(served_by_each: Live) -> None:
    kept: dict[str, Any] = {}

    async def before(made: Running) -> None:
        await register(made, limit=3)
        await say(made, word("w1", "ann"), word("w2", "ben", "revoked"))
        await tell(made, {"id": "a1", "type": "message.sent", "account": "dan", "peer": "n1"})
        kept["key"] = await own_key(made)
        kept["told"] = await decide(made, sends("ann", "ben", template="marketing"))
        kept["view"] = await ok(made, "GET", "/v1/business/shop")

    async def after(made: Running) -> None:
        assert await ok(made, "GET", "/v1/business/shop", kept["key"]) == kept["view"]
        assert live(made).replayed > 5
        assert await decide(made, sends("ann", "ben", template="marketing")) == kept["told"]
        more = await decide(made, sends("x1", "x2", "x3") + sends("dan", template=None))
        assert outcomes(more) == ["accepted", "accepted", "limit", "accepted"]
        assert more[-1]["basis"] == "window"

    served_by_each(before, after)


def test_start_reads_the_log_from_the_newest_snapshot_on(served: Live, tmp_path: Path) -> None:
    kept: dict[str, Any] = {}

    async def before(made: Running) -> None:
        made.context.states[LivePlatform] = LivePlatform(made.service, snapshot_events=5)
        await register(made, limit=9)
        await decide(made, sends("p1", "p2", "p3", "p4", "p5"))
        await decide(made, sends("p6"))
        kept["view"] = await ok(made, "GET", "/v1/business/shop")

    async def after(made: Running) -> None:
        assert await ok(made, "GET", "/v1/business/shop") == kept["view"]
        kept["replayed"] = live(made).replayed

    served(before, after)
    assert kept["replayed"] == 1
    (newest,) = tmp_path.glob("business-*.snapshot")
    assert newest.stat().st_mode & 0o077 == 0
    newest.write_bytes(newest.read_bytes()[:-1] + b"x")
    served(after)
    assert kept["replayed"] == 9


def test_changed_row_of_the_log_is_not_acted_on(served: Live) -> None:
    async def before(made: Running) -> None:
        await register(made)
        await decide(made, sends("ann"))

    async def after(made: Running) -> None:
        answer = await made.ask("GET", "/v1/business/shop")
        assert answer.status_code == 500
        assert answer.headers["content-type"] == "application/problem+json"

    async def change(_: Running) -> None:
        rows = PlatformRow.objects.filter(number=2)
        assert await in_thread(lambda: rows.update(body=b"")) == 1

    async def drop(_: Running) -> None:
        assert (await in_thread(PlatformRow.objects.filter(number=2).delete))[0] == 1

    served(before, change, after, drop, after)


def test_failed_commit_leaves_nothing_behind(served: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(made: Running) -> None:
        await register(made, limit=2)
        await decide(made, sends("ann"))
        before = await ok(made, "GET", "/v1/business/shop")

        def fail(*_: Any) -> None:
            raise OSError("the disk is full")

        with monkeypatch.context() as patched:
            patched.setattr("wavebreak_business.service.messages.enqueue", fail)
            body = {"portfolio": "shop", "sends": sends("ben")}
            answer = await made.ask("POST", "/v1/business/decide", json=body)
            assert answer.status_code == 500
        assert await ok(made, "GET", "/v1/business/shop") == before
        assert outcomes(await decide(made, sends("ben", "cyd"))) == ["accepted", "limit"]

    served(test)


def test_other_limits_hold_from_their_place_in_the_log_on(served: Live, tmp_path: Path) -> None:
    policy = tmp_path / "policy"
    policy.mkdir()
    shipped = Path(service_harness.__file__).parents[2] / "packages/business/src"
    text = (shipped / "wavebreak_business/policy/limits.toml").read_text("utf-8")

    async def before(made: Running) -> None:
        await register(made)
        assert outcomes(await decide(made, sends("ann", template="marketing"))) == ["no_consent"]

    async def after(made: Running) -> None:
        changed = text.replace('required = ["marketing"]', "required = []")
        (policy / "limits.toml").write_text(changed, "utf-8")
        # Before any request, as a start does.
        opening(made.context, policy)
        assert outcomes(await decide(made, sends("ben", template="marketing"))) == ["accepted"]
        rows = PlatformRow.objects.filter(kind=LIMITS).order_by("number")
        assert await in_thread(rows.count) == 2

    served(before, after)


def test_key_of_a_business_sees_its_own_portfolio_alone(served: Live) -> None:
    async def test(made: Running) -> None:
        await register(made)
        await register(made, "clinic", "n2")
        key = await own_key(made)
        assert (await ok(made, "GET", "/v1/business", key))["portfolios"] == ["shop"]
        assert (await ok(made, "GET", "/v1/business"))["portfolios"] == ["clinic", "shop"]
        template = {"category": "utility", "language": "he", "reason": BECAUSE}
        asked: list[tuple[str, str, Any]] = [
            ("GET", "/v1/business/{}", None),
            ("GET", "/v1/business/{}/templates", None),
            ("PUT", "/v1/business/{}/templates/new", template),
            ("POST", "/v1/business/{}/appeal", {"appeal": "opened", "reason": BECAUSE}),
            ("GET", "/v1/business/{}/standing", None),
            ("POST", "/v1/business/{}/consents", {"words": [word("w", "ann", source="form")]}),
            ("POST", "/v1/business/{}/consents/query", {"account": "ann", "category": "utility"}),
        ]
        for method, path, body in asked:
            told = [
                await made.ask(method, path.format(name), key, json=body)
                for name in ("clinic", "nobody")
            ]
            assert {(each.status_code, each.content) for each in told} == {(404, told[0].content)}
        told = [
            await made.ask(
                "POST", "/v1/business/decide", key, json={"portfolio": name, "sends": sends("a")}
            )
            for name in ("clinic", "nobody")
        ]
        assert {(each.status_code, each.content) for each in told} == {(404, told[0].content)}
        # Numbers and ids of another are as those of nobody.
        by_other = await decide(
            made, sends("ann", number="n2") + sends("ben", number="n0"), key=key
        )
        assert outcomes(by_other) == ["no_portfolio"] * 2
        assert (await ok(made, "GET", "/v1/business/clinic"))["limit"]["used"] == 0
        words = [word(n, "ann", number=n, source="form", proof=PROOF) for n in ("n2", "n0")]
        told = await say(made, *words, key=key)
        assert [(each["taken"], each["reason"]) for each in told] == [
            (False, "it is no number of the portfolio")
        ] * 2

    served(test)


def test_key_of_a_business_without_portfolios_sees_none(served: Live) -> None:
    async def test(made: Running) -> None:
        await register(made)
        body = {"name": "of nobody", "scopes": ["business"], "reason": BECAUSE}
        key = (await made.ask("POST", "/v1/keys", json=body)).json()["text"]
        assert (await ok(made, "GET", "/v1/business", key))["portfolios"] == []
        assert (await made.ask("GET", "/v1/business/shop", key)).status_code == 404

    served(test)


def test_business_neither_approves_nor_decides_nor_speaks_as_a_person(served: Live) -> None:
    async def test(made: Running) -> None:
        await register(made)
        key = await own_key(made)
        path = "/v1/business/shop/templates/sale"
        fields = {"category": "marketing", "language": "he", "reason": BECAUSE}
        for status in ("approved", "rejected", "disabled"):
            answer = await made.ask("PUT", path, key, json=fields | {"status": status})
            assert answer.status_code == 403
        assert (await ok(made, "PUT", path, key, **fields))["status"] == "pending"
        await ok(made, "PUT", path, status="approved", **fields)
        # What it changes waits again.
        changed = await ok(made, "PUT", path, key, **fields | {"category": "utility"})
        assert changed["status"] == "pending"
        await ok(made, "PUT", path, status="disabled", **fields)
        assert (await made.ask("PUT", path, key, json=fields)).status_code == 409
        appeal = {"appeal": "reversed", "version": 0, "reason": BECAUSE}
        assert (
            await made.ask("POST", "/v1/business/shop/appeal", key, json=appeal)
        ).status_code == 403
        consents = "/v1/business/shop/consents"
        claimed = {"words": [word("w1", "ann")]}
        assert (await made.ask("POST", consents, key, json=claimed)).status_code == 403
        told = await say(
            made, word("w1", "ann", source="form"), word("w2", "ben", source="form", proof=PROOF),
            key=key,
        )  # fmt: skip
        assert [each["counts"] for each in told] == [False, True]
        asked = sends("ann", "ben", template="marketing")
        assert outcomes(await decide(made, asked, key=key)) == ["no_consent", "accepted"]

    served(test)


def test_consent_says_on_what_basis_and_a_stop_binds_from_the_next_send(served: Live) -> None:
    async def test(made: Running) -> None:
        await register(made)
        query = {"account": "ann", "category": "marketing"}
        path = "/v1/business/shop/consents/query"
        assert (await ok(made, "POST", path, **query))["state"] == "none"
        await say(made, word("w1", "ann", source="form", proof=PROOF, category="marketing"))
        found = await ok(made, "POST", path, **query)
        assert (found["state"], found["word"]["proof"]) == ("granted", PROOF)
        first, second = ([{**sends("ann", template="marketing")[0], "id": n}] for n in "ab")
        assert (await decide(made, first))[0]["basis"] == "consent"
        (told,) = await say(made, word("w2", "ann", "revoked"))
        assert told == {"id": "w2", "taken": True, "counts": True, "reason": ""}
        assert (await decide(made, second))[0]["code"] == "131050"
        found = await ok(made, "POST", path, **query)
        assert [each["granted"] for each in found["words"]] == [True, False]
        # Said once, however often it comes.
        await say(made, word("w2", "ann", "revoked"))
        assert len((await ok(made, "POST", path, **query))["words"]) == 2
        assert (await ok(made, "POST", path, **query, number="n1"))["state"] == "revoked"
        answer = await made.ask("POST", path, json=query | {"number": "n7"})
        assert answer.status_code == 404

    served(test)


def test_questions_make_nobody_known(served: Live) -> None:
    async def test(made: Running) -> None:
        await register(made)
        for n in range(50):
            query = {"account": f"p{n}", "category": "marketing"}
            await ok(made, "POST", "/v1/business/shop/consents/query", **query)
        assert await live(made).read(lambda platform: platform.count) == 0

    served(test)


def test_acts_are_taken_once_late_ones_too(served: Live, clock: Any) -> None:
    async def test(made: Running) -> None:
        await register(made)
        now = service_harness.now_ms()
        late = {"id": "a1", "type": "message.sent", "account": "ann", "peer": "n1",
                "ts": now - 10 * HOUR}  # fmt: skip
        assert await tell(made, late) == {"taken": 1, "repeated": 0}
        assert await tell(made, late, late | {"id": "a2"}) == {"taken": 1, "repeated": 1}
        # A late one is taken at the portfolio's own time.
        assert outcomes(await decide(made, sends("ann", template=None))) == ["accepted"]
        changed = {"id": "a3", "type": "account.id_changed", "account": "ann2", "previous": "ann"}
        await tell(made, changed)
        assert outcomes(await decide(made, sends("ann2", template=None))) == ["accepted"]
        reused = await made.ask(
            "POST", "/v1/business/events", made.keys["ingest"],
            json={"events": [late | {"account": "eve"}]},
        )  # fmt: skip
        assert reused.status_code == 409
        own = late | {"id": "a4", "account": "n1", "peer": "ann"}
        answer = await made.ask(
            "POST", "/v1/business/events", made.keys["ingest"], json={"events": [own]}
        )
        assert answer.status_code == 422

    served(test)


@pytest.mark.parametrize(("count", "status"), [(0, 422), (1, 200), (500, 200), (501, 422)], ids=str)
def test_as_many_sends_as_the_limit_of_a_request(served: Live, count: int, status: int) -> None:
    async def test(made: Running) -> None:
        await register(made)
        some = sends(*(f"p{n}" for n in range(count)))
        body = {"portfolio": "shop", "sends": some}
        answer = await made.ask("POST", "/v1/business/decide", json=body)
        assert answer.status_code == status, answer.text
        if status == 200:
            assert len(answer.json()["answers"]) == count

    served(test)


_SEND, _WORD = sends("a")[0], word("w", "ann")
_ACT = {"id": "a", "type": "message.read", "account": "ann"}
_NUMBER = {"number": PHONE, "display_name": "Shop"}
_TEMPLATE = {"reason": BECAUSE, "category": "news", "language": "he"}
BAD: list[tuple[str, str, Any]] = [
    ("POST", "decide", {"portfolio": "shop", "sends": [{"id": "x"}]}),
    ("POST", "decide", {"portfolio": "a b", "sends": [_SEND]}),
    ("POST", "decide", {"portfolio": "shop", "sends": [_SEND | {"text": "hello"}]}),
    ("POST", "decide", {"portfolio": "shop", "sends": [_SEND | {"id": PHONE}]}),
    ("PUT", "new", {"reason": BECAUSE, "numbers": [_NUMBER]}),
    ("PUT", "new", {"legal_name": "Shop"}),
    ("PUT", "new", {"reason": BECAUSE, "limit": -2}),
    ("PUT", "shop/templates/t", _TEMPLATE),
    ("POST", "events", {"events": [_ACT]}),
    ("POST", "events", {"events": [_ACT | {"type": "account.deleted", "previous": "b"}]}),
    ("POST", "events", {"events": [_ACT | {"peer": "n1", "ts": 4_000_000_000_000}]}),
    ("POST", "shop/consents", {"words": [_WORD | {"proof": "ab"}]}),
]


def test_wrong_input_says_where_and_repeats_no_value(served: Live) -> None:
    async def test(made: Running) -> None:
        await register(made)
        for method, path, body in BAD:
            answer = await made.ask(method, f"/v1/business/{path}", json=body)
            assert answer.status_code == 422, (path, body, answer.text)
            assert answer.json()["fix"]
            assert PHONE not in answer.text
        for name in ("decide", "events"):
            answer = await made.ask("PUT", f"/v1/business/{name}", json={"reason": BECAUSE})
            assert answer.status_code == 405
        taken = {"reason": BECAUSE, "numbers": [{"number": "n1", "display_name": "Mine"}]}
        answer = await made.ask("PUT", "/v1/business/thief", json=taken)
        assert (answer.status_code, answer.json()["fix"]) == (
            409, "let that portfolio remove it first",
        )  # fmt: skip
        assert (await made.ask("GET", "/v1/business/thief")).status_code == 404
        assert outcomes(await decide(made, sends("ann"))) == ["accepted"]

    served(test)


SCOPES_OF = {
    ("POST", "/v1/business/decide"): {"business", "decide"},
    ("POST", "/v1/business/events"): {"ingest"},
    ("GET", "/v1/business"): {"business", "read"},
    ("GET", "/v1/business/shop"): {"business", "read"},
    ("PUT", "/v1/business/shop"): {"admin"},
    ("GET", "/v1/business/shop/templates"): {"business", "read"},
    ("PUT", "/v1/business/shop/templates/t"): {"business", "admin"},
    ("POST", "/v1/business/shop/appeal"): {"business", "admin"},
    ("GET", "/v1/business/shop/standing"): {"business", "read"},
    ("PUT", "/v1/business/shop/standing"): {"admin"},
    ("POST", "/v1/business/shop/consents"): {"business", "ingest"},
    ("POST", "/v1/business/shop/consents/query"): {"business", "read"},
    ("GET", "/v1/business/shop/keys"): {"admin"},
    ("PUT", "/v1/business/shop/keys/00000000"): {"admin"},
    ("DELETE", "/v1/business/shop/keys/00000000"): {"admin"},
}


def test_each_operation_takes_keys_of_its_scopes_alone(served: Live) -> None:
    async def test(made: Running) -> None:
        await register(made)
        for (method, path), scopes in SCOPES_OF.items():
            for scope in SCOPES:
                answer = await made.ask(method, path, made.keys[scope], content=b"")
                assert (answer.status_code == 403) is (scope not in scopes), (path, scope)
            assert (await made.ask(method, path, "")).status_code == 401
        # Bound to nothing, a key of a business sees nothing.
        answer = await made.ask("GET", "/v1/business/shop", made.keys["business"])
        assert answer.status_code == 404
        assert (await ok(made, "GET", "/v1/business", made.keys["business"]))["portfolios"] == []

    served(test)


STANDING = "/v1/business/shop/standing"
BLOCK = {"step": "blocked_7d", "ground": "law", "reason": BECAUSE}


def test_act_on_the_ladder_is_that_of_the_console(served: Live) -> None:
    async def test(made: Running) -> None:
        await register(made)
        key = await own_key(made)
        assert (await ok(made, "GET", STANDING))["version"] == 0
        told = await ok(made, "PUT", STANDING, version=0, **BLOCK)
        assert (told["standing"]["name"], told["standing"]["bars"]) == ("blocked_7d", "all")
        (row,) = told["changes"]
        assert (row["what"], row["ground"], row["reason"]) == ("set", "law", BECAUSE)
        # A business reads what holds, not who set it nor why.
        (own,) = (await ok(made, "GET", STANDING, key))["changes"]
        assert own == row | {"actor": None, "reason": None}
        assert outcomes(await decide(made, sends("ann")))[0] not in ("accepted", "held")
        version = told["version"]
        lifted = await ok(made, "PUT", STANDING, version=version, step=None, reason=BECAUSE)
        assert lifted["standing"]["bars"] == "nothing"
        rows = AuditEntry.objects.filter(action__endswith="_standing").order_by("number")
        said = await in_thread(lambda: list(rows.values_list("action", "object", "reason")))
        assert said == [
            ("set_standing", "shop/blocked_7d", BECAUSE), ("lift_standing", "shop", BECAUSE),
        ]  # fmt: skip

    served(test)


def test_stale_act_and_one_of_two_at_once_are_refused(served_by_each: Live) -> None:
    async def test(made: Running) -> None:
        await register(made)
        body = BLOCK | {"version": 0}
        answers = await asyncio.gather(*(made.ask("PUT", STANDING, json=body) for _ in range(3)))
        assert sorted(answer.status_code for answer in answers) == [200, 409, 409]
        version = (await ok(made, "GET", STANDING))["version"]
        await ok(made, "POST", "/v1/business/shop/appeal", appeal="opened", reason=BECAUSE)
        decision = {"appeal": "reversed", "version": version, "reason": BECAUSE}
        stale = await made.ask("POST", "/v1/business/shop/appeal", json=decision)
        assert (stale.status_code, stale.json()["type"]) == (409, "/api/docs#conflict")
        # Who took the step decides no appeal against it.
        decision["version"] = (await ok(made, "GET", STANDING))["version"]
        own = await made.ask("POST", "/v1/business/shop/appeal", json=decision)
        assert own.status_code == 403

    served_by_each(test)


def test_act_that_is_none_says_what_is_missing(served: Live) -> None:
    async def test(made: Running) -> None:
        await register(made)
        for change, status in (
            ({"step": "no_such"}, 409), ({"ground": None}, 422), ({"ground": "mood"}, 422),
            ({"version": -1}, 422), ({"version": 7}, 409), ({"step": None}, 422),
            ({"step": None, "ground": None}, 409), ({"step": ""}, 422), ({"reason": ""}, 422),
        ):  # fmt: skip
            answer = await made.ask("PUT", STANDING, json=BLOCK | {"version": 0} | change)
            assert answer.status_code == status, (change, answer.text)
            assert answer.json()["fix"], change
        lacking = {"appeal": "reversed", "reason": BECAUSE}
        answer = await made.ask("POST", "/v1/business/shop/appeal", json=lacking)
        assert (answer.status_code, "version" in answer.text) == (422, True)
        assert (await made.ask("PUT", "/v1/business/nobody/standing", json=BLOCK | {"version": 0})
                ).status_code == 404  # fmt: skip

    served(test)


def test_binding_holds_for_successors_and_ends(served: Live) -> None:
    async def test(made: Running) -> None:
        await register(made)
        key = await own_key(made)
        prefix = key[3:11]
        body = {"reason": BECAUSE, "grace_s": 0}
        later = (await made.ask("POST", f"/v1/keys/{prefix}/rotate", json=body)).json()["text"]
        assert (await made.ask("GET", "/v1/business/shop", later)).status_code == 200
        assert (await ok(made, "GET", "/v1/business/shop/keys"))["keys"] == [prefix]
        path = f"/v1/business/shop/keys/{prefix}"
        assert (await made.ask("DELETE", f"{path}?reason={BECAUSE}")).status_code == 204
        assert (await made.ask("GET", "/v1/business/shop", later)).status_code == 404
        assert (await made.ask("DELETE", f"{path}?reason={BECAUSE}")).status_code == 404
        without = made.keys["read"][3:11]
        answer = await made.ask(
            "PUT", f"/v1/business/shop/keys/{without}", json={"reason": BECAUSE}
        )
        assert answer.status_code == 409

    served(test)


def test_every_change_is_in_the_audit_and_in_the_ledger(served: Live) -> None:
    async def test(made: Running) -> None:
        await register(made)
        await own_key(made)
        await say(made, word("w1", "ann"))

        def kinds() -> Counter[str]:
            lines = LedgerEntry.objects.values_list("line", flat=True)
            return Counter(json.loads(bytes(line))["kind"] for line in lines)

        found = await in_thread(kinds)
        assert (found["portfolio"], found["template"], found["consent"]) == (1, 2, 1)
        actions = await in_thread(lambda: list(AuditEntry.objects.values_list("action", flat=True)))
        for action in ("update_portfolio", "update_template", "bind_key"):
            assert action in actions

    served(test)


def test_a_number_that_is_a_person_is_stored_nowhere(
    served: Live, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(made: Running) -> None:
        made.context.states[LivePlatform] = LivePlatform(made.service, snapshot_events=1)
        await register(made)
        await say(made, word("w1", PHONE))
        await tell(made, {"id": "a1", "type": "message.sent", "account": PHONE, "peer": "n1"})
        assert outcomes(await decide(made, sends("x", template=None))) == ["window_closed"]
        one = [{"id": "s1", "number": "n1", "account": PHONE}]
        assert outcomes(await decide(made, one)) == ["accepted"]
        # Where a number should be, too.
        one = [{"id": "s2", "number": PHONE, "account": PHONE}]
        assert outcomes(await decide(made, one)) == ["no_portfolio"]
        between = {"id": "a2", "type": "message.sent", "account": "ann", "peer": PHONE}
        assert (await tell(made, between))["taken"] == 1
        told = await say(
            made, word("w2", "ann", number=PHONE), word("w3", "ann", "revoked", number=PHONE)
        )
        assert [each["taken"] for each in told] == [False, True]
        assert (await in_thread(TakenId.objects.count)) == 8
        held = await asyncio.to_thread(service_harness.held)
        assert live(made).person(PHONE).encode() in held
        assert PHONE[1:].encode() not in held

    served(test)
    assert PHONE[1:] not in caplog.text
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or PHONE[1:].encode() not in path.read_bytes(), path
