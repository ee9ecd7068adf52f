"""A running service that is switched to another policy: no event is lost, doubled or undecided."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.db import connection

from support.service_harness import (
    SECRET,
    Running,
    abuser,
    decided,
    logged,
    migrated,
    now_ms,
    running,
)
from support.switched_rule import RULE
from wavebreak.engine import Engine
from wavebreak.errors import ModelError, PolicyError, ServiceError
from wavebreak.model import Model, load, save, smallest_model
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.rules import Policy, load_policy
from wavebreak_server.pipeline import decide
from wavebreak_server.pipeline.live_policy import (
    files_digest,
    live_directory,
    live_model,
    live_policy,
    models_directory,
    policies_directory,
)
from wavebreak_server.pipeline.pending_requests import BusyError
from wavebreak_server.pipeline.recovery import list_snapshots
from wavebreak_server.settings import Limits
from wavebreak_server.slices.backup import service as backup
from wavebreak_server.slices.versions.policy_switch import ChangedFilesError, Deciding, PolicySwitch
from wavebreak_server.storage import database
from wavebreak_server.storage.models import EnforcementState, LedgerEntry

TS = 1_767_222_000_000


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    with migrated("sqlite", tmp_path):
        yield tmp_path


def version(home: Path, name: str, rule: str = RULE) -> str:
    """Store a version with one more rule."""
    directory = policies_directory(home) / name / "rules"
    directory.mkdir(parents=True)
    (directory / "tested.toml").write_text(rule, "utf-8")
    return name


def switch(home: Path, engine: Any = None) -> PolicySwitch:
    def responder(policy: Policy, directory: Path | None) -> decide.DecideResponder:
        terms = decide.load_decide_policy(directory)
        return decide.DecideResponder(policy, terms, Pseudonymizer(SECRET))

    return PolicySwitch(home, None, engine or made_engine, responder, base_model="none")


def made_engine(policy: Policy, loaded: Model | None = None, enforce: bool = False) -> Engine:
    return Engine(policy, accounts=1024, model=loaded, enforce=enforce)


def registered(home: Path, name: str, model: Model) -> str:
    """Store a registered model."""
    save(model, models_directory(home) / name)
    return name


def scorer(name: str) -> Model:
    return dataclasses.replace(smallest_model(), name=name)


def sends(account: str, count: int, at: int = 0) -> list[dict[str, Any]]:
    return [
        {
            "id": f"{account}-{at}-{n}", "ts": TS + 1000 * (at + n), "type": "message.sent",
            "account": account, "peer": f"{account}-{at}-p{n}", "in_contacts": False,
        }
        for n in range(count)
    ]  # fmt: skip


def by_account() -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for body in decided():
        decision = msgspec.json.decode(body)
        found.setdefault(decision["account"], []).append(decision)
    return found


def entries() -> list[dict[str, Any]]:
    try:
        lines = LedgerEntry.objects.order_by("position").values_list("line", flat=True)
        return [msgspec.json.decode(bytes(line)) for line in lines]
    finally:
        connection.close()


async def policy_of(one: Running) -> str:
    answer: str = await one.service.ask(lambda engine: engine.policy.version)
    return answer


def test_switch_keeps_state_and_decides_by_new_rules(home: Path) -> None:
    async def run() -> None:
        async with running(home) as one:
            await one.send([*abuser(), *sends("bob", 1)])
            before = await asyncio.to_thread(decided)
            await switch(home)(one.service, version(home, "v1"))
            assert (await policy_of(one)).startswith("v1-")
            assert one.service.responder.policy.rule("two_strangers") is not None
            state = (await one.ask("GET", "/v1/accounts/ann")).json()
            assert state["outcome"] == "ban"
            assert await asyncio.to_thread(decided) == before
            await one.send([*sends("bob", 1, at=10), *sends("cat", 1, at=10)])
        found = await asyncio.to_thread(by_account)
        assert [d["rules"] for d in found["bob"]] == [["two_strangers"]]
        assert "cat" not in found
        live = live_policy(home)
        assert live is not None
        assert live.version == "v1"
        assert live_directory(home) == policies_directory(home) / "v1"

    asyncio.run(run())


def test_switch_loses_and_doubles_no_event(home: Path) -> None:
    async def run() -> None:
        accepted: list[str] = []
        refused: Counter[int] = Counter()

        async def traffic(one: Running, stop: asyncio.Event) -> None:
            n = 0
            while not stop.is_set():
                events = sends(f"s{n % 40}", 3, at=n)
                n += 1
                answer = await one.ask("POST", "/v1/events", json=events)
                if answer.status_code == 202:
                    accepted.extend(event["id"] for event in events)
                else:
                    refused[answer.status_code] += 1
                    assert answer.headers["Retry-After"]
                    await asyncio.sleep(0.02)

        async def decides(one: Running, stop: asyncio.Event) -> None:
            n = 0
            while not stop.is_set():
                event = sends(f"d{n % 20}", 1, at=n)[0]
                n += 1
                answer = await one.ask("POST", "/v1/decide", json=event)
                assert answer.status_code == 200, answer.text
                await asyncio.sleep(0.005)

        async with running(home) as one:
            stop = asyncio.Event()
            tasks = [
                asyncio.create_task(traffic(one, stop)),
                asyncio.create_task(decides(one, stop)),
            ]
            make = switch(home)
            three = RULE.replace("= 2 }", "= 3 }").replace("= 1 }", "= 2 }").replace(">= 2", ">= 3")
            for name in (version(home, "v1"), version(home, "v2", three), ""):
                await asyncio.sleep(0.4)
                await make(one.service, name)
            await asyncio.sleep(0.4)
            stop.set()
            await asyncio.gather(*tasks)
            await one.wait_until_applied()
        assert set(refused) == {503}
        ids = [event["id"] for event in await asyncio.to_thread(logged)]
        assert sorted(ids) == sorted(accepted)
        numbers = [msgspec.json.decode(body)["id"] for body in await asyncio.to_thread(decided)]
        assert len(numbers) == len(set(numbers))
        live = live_policy(home)
        assert live is not None
        assert live.version == ""

    asyncio.run(run())


def test_former_engine_answers_until_the_switch_is_done(home: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def engine(policy: Policy, loaded: Model | None, enforce: bool) -> Engine:
        # The second engine is made while the pipeline is stopped.
        if begun.is_set():
            assert go_on.wait(60)
        begun.set()
        return made_engine(policy, loaded, enforce)

    async def attempt(one: Running, event: dict[str, Any]) -> dict[str, Any]:
        answer = await one.ask("POST", "/v1/decide?mode=attempt", json=event)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def run() -> None:
        joins = {"id": "r", "ts": TS, "type": "account.registered", "account": "new"}
        async with running(home, limits=Limits(answer_s=30)) as one:
            await one.send([*abuser(), *sends("bob", 1)])
            before = len(await asyncio.to_thread(logged))
            switched = asyncio.create_task(switch(home, engine)(one.service, version(home, "v1")))
            async with asyncio.timeout(60):
                while "switched" not in one.service.progress().why:
                    await asyncio.sleep(0.01)
            joined = await attempt(one, joins)
            refused = await attempt(one, sends("ann", 1, at=500)[0])
            body = await one.ask("POST", "/v1/events", json=sends("bob", 1, at=9))
            still = one.service.progress().why
            go_on.set()
            await switched
            assert (joined["mode"], joined["allowed"]) == ("attempt", True)
            # What the log cannot take is no attempt: what is known to be in force holds.
            assert (refused["mode"], refused["allowed"]) == ("on_failure", False)
            assert body.status_code == 503
            assert "switched" in still
            assert one.service.progress().ready
        assert len(await asyncio.to_thread(logged)) == before

    asyncio.run(run())


def test_restart_goes_on_from_the_switch(home: Path) -> None:
    async def run() -> None:
        async with running(home) as one:
            await one.send([*abuser(), *sends("bob", 2)])
            await switch(home)(one.service, version(home, "v1"))
            await one.send(sends("cat", 2, at=20))
            before = await asyncio.to_thread(decided)
        policy = load_policy(policies_directory(home) / "v1")
        async with running(home, policy=policy) as again:
            assert await asyncio.to_thread(decided) == before
            await again.send(sends("cat", 1, at=40))
            assert (await again.ask("GET", "/v1/accounts/ann")).json()["outcome"] == "ban"
        # The snapshots of the switch are lost: the log is replayed, and what was decided stays.
        for _, _, path in list_snapshots(home):
            path.unlink()
        kept = await asyncio.to_thread(decided)
        async with running(home, policy=policy) as last:
            assert await asyncio.to_thread(decided) == kept
            await last.send(sends("dan", 3, at=60))
        assert (await asyncio.to_thread(by_account))["dan"][0]["rules"] == ["two_strangers"]

    asyncio.run(run())


def test_switch_leaves_the_snapshot_of_what_decided(home: Path) -> None:
    async def first() -> None:
        async with running(home) as one:
            await one.send(sends("bob", 2))

    async def second() -> None:
        async with running(home) as one:
            ((_, _, path),) = list_snapshots(home)
            before = path.read_bytes()
            await switch(home)(one.service, version(home, "v1"))
            # A trimmed log rests on it, should the process die before the other policy decides.
            assert path.read_bytes() == before
            assert len(list_snapshots(home)) == 2

    asyncio.run(first())
    asyncio.run(second())


def test_switch_that_cannot_start_leaves_the_former_policy(home: Path) -> None:
    async def run() -> None:
        made: list[int] = []

        def engine(policy: Policy, loaded: Model | None, enforce: bool) -> Engine:
            made.append(1)
            if len(made) > 1:
                raise ServiceError("no memory", fix="give some")
            return made_engine(policy, loaded, enforce)

        async with running(home) as one:
            await one.send([*abuser(), *sends("bob", 2)])
            former = await policy_of(one)
            with pytest.raises(ServiceError, match="no memory"):
                await switch(home, engine)(one.service, version(home, "v1"))
            assert await policy_of(one) == former
            await one.send(sends("bob", 2, at=10))
        assert "bob" not in await asyncio.to_thread(by_account)
        live = live_policy(home)
        assert live is not None
        assert live.version == ""

    asyncio.run(run())


def test_switch_after_which_nothing_starts_ends_the_service(home: Path) -> None:
    def engine(policy: Policy, loaded: Model | None, enforce: bool) -> Engine:
        if len(made) == 1:
            raise ServiceError("no memory", fix="give some")
        made.append(1)
        return made_engine(policy, loaded, enforce)

    def former() -> Engine:
        raise ServiceError("no memory for the former either", fix="give more")

    made: list[int] = []

    async def run() -> None:
        async with running(home) as one:
            await one.send(sends("bob", 2))
            one.service.running.make_engine = former
            with pytest.raises(ServiceError, match="for the former"):
                await switch(home, engine)(one.service, version(home, "v1"))
            progress = one.service.progress()
            assert (progress.ready, progress.why) == (False, "the service could not start")
            assert "for the former" in str(one.service.failed)
            with pytest.raises(BusyError):
                await one.service.ask(lambda engine: engine.policy.version)
        # The block ends by stopping what has stopped already.
        assert len(await asyncio.to_thread(logged)) == 2

    async def in_time() -> None:
        async with asyncio.timeout(60):
            await run()

    asyncio.run(in_time())


def test_switch_to_an_invalid_version_changes_nothing(home: Path) -> None:
    async def run() -> None:
        async with running(home) as one:
            with pytest.raises(PolicyError, match="two_strangers"):
                await switch(home)(
                    one.service, version(home, "v1", RULE.replace('"limit"', '"ban"'))
                )
            await one.send(sends("bob", 3))
        assert live_policy(home) is None

    asyncio.run(run())


def test_two_switches_at_once_are_refused(home: Path) -> None:
    async def run() -> None:
        async with running(home) as one:
            make = switch(home)
            first = asyncio.create_task(make(one.service, version(home, "v1")))
            await asyncio.sleep(0.05)
            with pytest.raises(BusyError):
                await make(one.service, version(home, "v2"))
            await first

    asyncio.run(run())


def test_switch_takes_only_what_was_approved(home: Path) -> None:
    async def run() -> None:
        async with running(home) as one:
            make, name = switch(home), version(home, "v1")
            registered(home, "m1", scorer("first"))
            before = await policy_of(one)
            with pytest.raises(ChangedFilesError, match="v1 are not those"):
                await make(one.service, name, digest="0" * 64)
            with pytest.raises(ChangedFilesError, match="m1 are not those"):
                await make(one.service, model="m1", approved_model="first-000000000000")
            with pytest.raises(ServiceError, match="something else decides"):
                await make(one.service, name, instead_of=Deciding("v9"))
            assert await policy_of(one) == before
            await make(one.service, name, instead_of=make.deciding)
            live = live_policy(home)
            assert live is not None
            assert make.deciding.digest == live.digest
            # An earlier version decides again by the files with which it decided.
            await make(one.service, "", back=True)
            rules = policies_directory(home) / "v1" / "rules" / "tested.toml"
            rules.write_text(RULE.replace("= 2", "= 3").replace("= 1", "= 2"), "utf-8")
            with pytest.raises(ChangedFilesError):
                await make(one.service, "v1")

    asyncio.run(run())


def test_switch_of_something_else_brings_no_changed_files_live(home: Path) -> None:
    async def run() -> None:
        async with running(home) as one:
            make = switch(home)
            await make(one.service, model=registered(home, "m1", scorer("one")))
            # A whole model, but not the one that was promoted.
            save(scorer("other"), models_directory(home) / "m1")
            with pytest.raises(ChangedFilesError, match="m1 are not those"):
                await make(one.service, enforce=True)
            registered(home, "m1", scorer("one"))
            before = await policy_of(one)
            make.base = policies_directory(home) / version(home, "base")
            make.base_digest = files_digest(make.base)
            (make.base / "rules" / "tested.toml").write_text(RULE.replace("2", "3"), "utf-8")
            with pytest.raises(ChangedFilesError, match="after the service had read it"):
                await make(one.service, coverage=None)
            assert await model_of(one) == scorer("one").version
            assert await policy_of(one) == before

    asyncio.run(run())


def test_backup_holds_the_live_policy(home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("restored")

    async def run() -> None:
        async with running(home) as one:
            await one.send(sends("bob", 2))
            make = switch(home)
            await make(one.service, version(home, "v1"))
            await make(one.service, model=registered(home, "m1", scorer("one")))

    asyncio.run(run())
    backup.save(home, home / "all.wavebreak", SECRET)
    with migrated("sqlite", other):
        backup.restore(home / "all.wavebreak", other, SECRET, now_ms())
    assert live_directory(other) == policies_directory(other) / "v1"
    assert live_model(other) == (models_directory(other) / "m1", scorer("one").version)
    assert load(models_directory(other) / "m1").version == scorer("one").version
    database.connect("", home)


def test_switch_is_sealed(home: Path) -> None:
    async def run() -> None:
        async with running(home) as one:
            await switch(home)(one.service, version(home, "v1"))
        sealed = await asyncio.to_thread(entries)
        versions = [e["body"]["version"] for e in sealed if e["kind"] == "policy"]
        assert [v.partition("-")[0] for v in versions] == ["shipped", "v1"]

    asyncio.run(run())


async def model_of(one: Running) -> str:
    answer: str = await one.service.ask(lambda e: e.model.version if e.model else "")
    return answer


def test_promoted_model_scores_and_is_rolled_back(home: Path) -> None:
    async def run() -> None:
        async with running(home) as one:
            await one.send([*abuser(), *sends("bob", 2)])
            make = switch(home)
            await make(one.service, version(home, "v1"))
            for name in ("m1", "m2"):
                await make(one.service, model=registered(home, name, scorer(name)))
                assert await model_of(one) == scorer(name).version
            live = live_policy(home)
            assert live is not None
            assert (live.version, live.earlier, live.earlier_models) == ("v1", ("",), ("", "m1"))
            assert (await one.ask("GET", "/v1/accounts/ann")).json()["outcome"] == "ban"
            await make(one.service, model="m1", back=True)
            live = live_policy(home)
            assert live is not None
            assert (live.model, live.earlier_models) == ("m1", ("",))
            assert make.options() == ("--model", str(models_directory(home) / "m1"), "--shadow")
            await one.send(sends("cat", 3, at=20))
        made = await asyncio.to_thread(by_account)
        assert [d["rules"] for d in made["cat"]] == [["two_strangers"]]
        assert made["cat"][0]["model"] == scorer("m1").version
        sealed = [e["body"]["version"] for e in await asyncio.to_thread(entries)
                  if e["kind"] == "model"]  # fmt: skip
        assert sealed == [scorer(name).version for name in ("m1", "m2", "m1")]

    asyncio.run(run())


def test_switch_to_a_damaged_model_changes_nothing(home: Path) -> None:
    async def run() -> None:
        name = registered(home, "m1", scorer("one"))
        (models_directory(home) / name / "booster.txt").write_text("tree", "utf-8")
        async with running(home) as one:
            with pytest.raises(ModelError, match="damaged"):
                await switch(home)(one.service, model=name)
            await one.send(sends("bob", 1))
        assert live_policy(home) is None

    asyncio.run(run())


def states() -> list[str]:
    try:
        return list(EnforcementState.objects.values_list("account", flat=True))
    finally:
        connection.close()


def test_switch_to_enforcement_clears_the_shadow_and_is_rolled_back(home: Path) -> None:
    async def run() -> None:
        async with running(home) as one:
            modes = list[bool]()
            make = dataclasses.replace(
                switch(home), switched=lambda _policy, enforce: modes.append(enforce)
            )
            one.service.switch = make
            await one.send([*abuser(), *sends("bob", 2)])
            assert await asyncio.to_thread(states) == ["ann"]
            await make(one.service, version(home, "v1"), enforce=True)
            assert await one.service.ask(lambda engine: engine.enforce)
            # What was found in shadow is cleared; the next event decides.
            assert await asyncio.to_thread(states) == []
            await one.send(sends("cat", 4, at=20))
            live = live_policy(home)
            assert live is not None
            assert (live.version, live.enforce) == ("v1", True)
            await make(one.service, "", enforce=False, back=True)
            assert not await one.service.ask(lambda engine: engine.enforce)
            # Notices to holders follow the mode.
            assert modes == [True, False]
        found = await asyncio.to_thread(by_account)
        assert found["cat"][0]["rules"] == ["two_strangers"]

    asyncio.run(run())


def test_mode_that_cannot_start_leaves_the_shadow(home: Path) -> None:
    async def run() -> None:
        made: list[int] = []

        def engine(policy: Policy, loaded: Model | None, enforce: bool) -> Engine:
            made.append(1)
            if len(made) > 1:
                raise ServiceError("no memory", fix="give some")
            return made_engine(policy, loaded, enforce)

        async with running(home) as one:
            await one.send(abuser())
            with pytest.raises(ServiceError, match="no memory"):
                await switch(home, engine)(one.service, enforce=True)
            assert not await one.service.ask(lambda engine: engine.enforce)
            assert (await one.ask("GET", "/v1/accounts/ann")).json()["outcome"] == "ban"

    asyncio.run(run())
