from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from wavebreak_synapse import commands
from wavebreak_synapse.homeserver_database import CommandError
from wavebreak_synapse.mas_data import (
    Bounds,
    banned_by,
    banned_networks,
    network_of,
    policy_data,
    read_addresses,
)

SPAMMERS = [f"@s{number}:hs.test" for number in range(20)]
NETWORK = "9.9.9."


def seen_in(network: str, accounts: list[str]) -> list[tuple[str, str]]:
    return [(account, f"{network}{number + 1}") for number, account in enumerate(accounts)]


def banned(accounts: Any) -> set[str]:
    return set(accounts) & set(SPAMMERS)


def test_network_of_banned_accounts_alone_is_listed() -> None:
    people = [f"@p{number}:hs.test" for number in range(20)]
    seen = seen_in(NETWORK, SPAMMERS[:5]) + seen_in("9.9.8.", people)
    assert banned_networks(seen, banned, Bounds()) == ["9.9.9.0/24"]


def test_network_that_others_share_is_not_listed() -> None:
    people = [f"@p{number}:hs.test" for number in range(3)]
    seen = seen_in(NETWORK, SPAMMERS + people)
    assert banned_networks(seen, banned, Bounds()) == []
    assert banned_networks(seen, banned, Bounds(share=0.8)) == ["9.9.9.0/24"]


def test_few_banned_accounts_list_no_network() -> None:
    seen = seen_in(NETWORK, SPAMMERS[:2]) * 3
    assert banned_networks(seen, banned, Bounds()) == []
    assert banned_networks(seen, banned, Bounds(accounts=2)) == ["9.9.9.0/24"]


def test_address_of_a_proxy_is_never_listed() -> None:
    for address in ("127.0.0.1", "10.0.0.7", "192.168.1.1", "::1", "fe80::1", "fd00::1", "unix"):
        assert network_of(address) is None
    seen = [(account, "10.0.0.7") for account in SPAMMERS]
    assert banned_networks(seen, banned, Bounds()) == []


def test_accounts_are_asked_about_a_thousand_at_a_time() -> None:
    asked: list[int] = []

    def among(accounts: Any) -> set[str]:
        asked.append(len(accounts))
        return set(accounts)

    names = [(f"@s{number}:hs.test", f"9.9.{number % 250}.1") for number in range(2500)]
    assert len(banned_networks(names, among, Bounds())) == 250
    assert asked == [1000, 1000, 500]


def test_only_bans_count() -> None:
    def fetch_states(accounts: list[str]) -> list[Any]:
        outcomes = ("ban", "suspend", "allow")
        return [SimpleNamespace(account=each, outcome=outcomes[number % 3])
                for number, each in enumerate(accounts)]  # fmt: skip

    client = SimpleNamespace(fetch_states=fetch_states)
    unusual = "@ann@mail.example:hs.test"
    assert banned_by(client)([unusual, "@b:hs.test", "@c:hs.test"]) == {unusual}


def test_invalid_bounds_name_the_fix() -> None:
    for wrong in ({"accounts": 0}, {"share": 0.4}, {"share": 1.1}, {"days": 0}):
        with pytest.raises(CommandError, match="Fix: "):
            Bounds(**wrong)


def configuration(home: Path) -> dict[str, Any]:
    database = home / "homeserver.db"
    with sqlite3.connect(database) as made:
        made.execute("CREATE TABLE user_ips (user_id TEXT, ip TEXT, last_seen BIGINT)")
        rows = [("@new:hs.test", "9.9.9.9", 2_000), ("@old:hs.test", "9.9.9.8", 1_000)]
        made.executemany("INSERT INTO user_ips VALUES (?, ?, ?)", rows)
    made.close()
    return {"database": {"name": "sqlite3", "args": {"database": str(database)}}}


def test_addresses_are_read_from_a_time_on(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    assert read_addresses(config, 1_500) == [("@new:hs.test", "9.9.9.9")]
    main = {"databases": {"a": {"data_stores": ["state"]}, "b": config["database"]}}
    assert len(read_addresses(main, 0)) == 2


def test_unreadable_database_shows_no_settings(tmp_path: Path) -> None:
    place = str(tmp_path / "none" / "secret.db")
    with pytest.raises(CommandError, match="Fix: run it as Synapse's user") as error:
        read_addresses({"database": {"name": "sqlite3", "args": {"database": place}}}, 0)
    assert "secret" not in str(error.value)
    with pytest.raises(CommandError, match="names no database"):
        read_addresses({}, 0)


def test_command_without_the_module_fails_with_the_fix(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "homeserver.yaml"
    for text in ("modules: []", "modules: [", "3"):
        path.write_text(text)
        assert commands.main(["mas-data", "--config", str(path)]) == 1
        assert "Fix: give " in capsys.readouterr().err


def test_command_without_an_answer_lists_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configuration(tmp_path)
    module = {"url": "http://127.0.0.1:9", "key": "wb_1"}
    config["modules"] = [{"module": "wavebreak_synapse.Module", "config": module}]
    with sqlite3.connect(config["database"]["args"]["database"]) as made:
        late = [(f"@s{number}:hs.test", "9.9.9.9", 1 << 50) for number in range(5)]
        made.executemany("INSERT INTO user_ips VALUES (?, ?, ?)", late)
    made.close()
    path = tmp_path / "homeserver.yaml"
    path.write_text(yaml.safe_dump(config))
    assert commands.main(["mas-data", "--config", str(path)]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "did not answer" in shown.err


def test_policy_data_has_the_form_that_the_policy_reads() -> None:
    assert json.dumps(policy_data(["9.9.9.0/24", "2620:fe::/48"])) == (
        '{"requester": {"banned_ips": ["9.9.9.0/24", "2620:fe::/48"]}}'
    )
