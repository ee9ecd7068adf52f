from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from wavebreak_server.settings import Settings as ServiceSettings

from wavebreak_synapse.config import DEFAULT_URL, SettingError, parse_settings

GOOD: dict[str, Any] = {"url": "https://wavebreak.example.org/", "key": "wb_1"}


def test_smallest_configuration_gives_the_defaults() -> None:
    settings = parse_settings(GOOD)
    assert settings.url == "https://wavebreak.example.org"
    assert (settings.mode, settings.ask, settings.timeout_ms) == ("shadow", "new_chats", 250)
    assert settings.on_failure == {"registration": "closed", "messaging": "open"}
    assert settings.exempt.admins
    assert not settings.federation.drop


def test_default_url_is_where_the_service_listens() -> None:
    assert parse_settings({"key": "wb_1"}).url == DEFAULT_URL
    assert f"http://{ServiceSettings.host}:{ServiceSettings.port}" == DEFAULT_URL  # serve's own


def test_full_configuration_is_read() -> None:
    settings = parse_settings(
        GOOD
        | {
            "mode": "enforce", "ask": "always", "timeout_ms": 400,
            "on_failure": {"registration": "open"},
            "exempt": {"users": ["@bot:hs.test"], "guests": False},
            "contacts": False, "remote": False, "federation": {"drop": True},
            "receipts": False, "reports": False, "searches": False, "history_days": 0,
            "notices": {"texts": {"de": {"ban": "Gesperrt."}}, "objection": "Write to us."},
            "language": "he",
        }
    )  # fmt: skip
    assert settings.enforces
    assert settings.exempt.users == {"@bot:hs.test"}
    assert settings.federation.drop
    assert settings.notices.texts["de"]["ban"] == "Gesperrt."


def test_key_is_in_no_representation() -> None:
    assert "wb_1" not in repr(parse_settings(GOOD))


def test_key_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("wb_2\n")
    path.chmod(0o600)
    assert parse_settings({"url": GOOD["url"], "key_file": str(path)}).key == "wb_2"
    path.chmod(0o644)
    with pytest.raises(SettingError, match=r"key_file: others may read.*Fix: chmod 600"):
        parse_settings({"url": GOOD["url"], "key_file": str(path)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"url": 8480}, r"^url: is no text\. Fix: set the service"),
        ({"url": "ftp://x"}, r"^url: is no http"),
        ({"url": "http://u:p@x"}, r"^url: has a user"),
        ({"key": ""}, r"^key_file: holds no API key"),
        ({"key_file": "/nowhere"}, r"^key_file: exactly one"),
        ({"modus": "enforce"}, r"^config\.modus: no such key\. Fix: use "),
        ({"mode": "loud"}, r"^mode: is none of shadow, enforce"),
        ({"ask": True}, r"^ask: is none of"),
        ({"timeout_ms": True}, r"^timeout_ms: is no whole number"),
        ({"timeout_ms": 5}, r"^timeout_ms: is no whole number from 20"),
        ({"on_failure": {"messaging": "closed"}}, r"^on_failure\.messaging: is none of open"),
        ({"on_failure": {"login": "open"}}, r"^on_failure\.login: no such key"),
        ({"exempt": {"users": ["ann"]}}, r"^exempt\.users: is no list of Matrix ids"),
        ({"exempt": ["@a:b"]}, r"^exempt: is no mapping"),
        ({"contacts": "yes"}, r"^contacts: is neither true nor false"),
        ({"federation": {"ban": True}}, r"^federation\.ban: no such key"),
        ({"notices": {"texts": {"en": {"observe": "x"}}}}, r"^notices\.texts\.en\.observe"),
        ({"notices": {"texts": {"en": {"ban": "{who}"}}}}, r"another placeholder"),
        ({"notices": {"texts": {"en": {"ban": 5}}}}, r"is no text"),
        ({"history_days": -1}, r"^history_days"),
        ({"language": 5}, r"^language: is no text"),
        ({"remote_invitations": "refuse"}, r"^remote_invitations: is none of deliver, drop"),
        ({"take_back": True}, r"^take_back: is none of invitations, messages, off"),
    ],
)
def test_wrong_setting_is_named_with_its_fix(change: dict[str, Any], message: str) -> None:
    config = {key: each for key, each in (GOOD | change).items() if each is not None}
    with pytest.raises(SettingError, match=message) as caught:
        parse_settings(config)
    assert "Fix: " in str(caught.value)


@pytest.mark.parametrize("given", ["off", False])
def test_off_is_read_as_yaml_reads_it(given: Any) -> None:
    assert parse_settings(GOOD | {"take_back": given}).take_back == "off"


def test_configuration_that_is_no_mapping_is_refused() -> None:
    with pytest.raises(SettingError, match=r"^config: is no mapping"):
        parse_settings(None)


def test_lists_need_a_key_of_their_own_and_ids_of_rooms(tmp_path: Path) -> None:
    path = tmp_path / "lists.key"
    path.write_text("wb_2")
    path.chmod(0o600)
    good: dict[str, Any] = {"key_file": str(path), "rooms": {"cme": "!a:far.test"}}
    cases: list[tuple[dict[str, Any], str]] = [
        ({"rooms": {}}, r"lists\.key_file: is missing"),
        (good | {"rooms": {"CME": "!a:far.test"}}, r"lists\.rooms\.CME: is no name"),
        (good | {"rooms": {"cme": "#a:far.test"}}, r"lists\.rooms\.cme: is no room's id"),
        (good | {"publish": {"room": "!b:hs.test"}}, r"lists\.publish: lacks"),
        (good | {"publish": {"room": "!b", "account": "bot"}}, r"publish\.account: is no Matrix"),
        (good | {"mode": "delay"}, r"lists\.mode: no such key"),
    ]
    for given, problem in cases:
        with pytest.raises(SettingError, match=rf"{problem}.*Fix: "):
            parse_settings(GOOD | {"lists": given})
    publish = {"room": "!b:hs.test", "account": "@bot:hs.test"}
    lists = parse_settings(GOOD | {"lists": good | {"publish": publish}}).lists
    assert (lists.rooms, lists.publish_in, lists.publish_as) == (
        {"cme": "!a:far.test"}, "!b:hs.test", "@bot:hs.test",
    )  # fmt: skip
    assert "wb_2" not in repr(lists)


def test_policy_server_needs_a_key_that_only_its_owner_reads(tmp_path: Path) -> None:
    assert parse_settings(GOOD).policy_server.key == ""
    path = tmp_path / "policy.key"
    given = GOOD | {"policy_server": {"key_file": str(path)}}
    cases = [
        (None, 0o600, "cannot be read"),
        ("ed25519 a_Ab1 " + "A" * 43, 0o600, "holds no policy server's key"),
        ("ed25519 policy_server " + "A" * 43, 0o644, "others may read"),
    ]
    for text, mode, problem in cases:
        if text is not None:
            path.write_text(text)
            path.chmod(mode)
        with pytest.raises(SettingError, match=rf"policy_server\.key_file: {problem}.*Fix: "):
            parse_settings(given)
    with pytest.raises(SettingError, match=r"policy_server\.key_file: is missing"):
        parse_settings(GOOD | {"policy_server": {}})
    path.chmod(0o600)
    settings = parse_settings(given)
    assert settings.policy_server.key.startswith("ed25519 policy_server")
    assert "AAAA" not in repr(settings)
