"""What the options of a service become when it is built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from wavebreak.errors import UsageError
from wavebreak_server.app import is_demo_home, service_settings
from wavebreak_server.config import Storage
from wavebreak_server.config_sources import resolve
from wavebreak_server.policy_choice import PolicyChoice
from wavebreak_server.settings import Limits, Settings

HOME = Path("var")
SHADOW = PolicyChoice(None, None, False)


def settings(**flags: Any) -> Settings:
    return service_settings(HOME, resolve(None, flags, {}).configuration, SHADOW)


def test_options_without_values_are_the_settings_of_a_service() -> None:
    plain = settings()
    assert plain.limits == Limits()
    assert plain == Settings(HOME, ceiling=plain.ceiling)


@pytest.mark.parametrize(
    ("name", "value", "setting"),
    [
        ("host", "::1", "host"),
        ("port", 1, "port"),
        ("decoders", 2, "decoders"),
        ("shards", 3, "workers"),
        ("accept_loss", True, "accept_loss"),
        ("snapshot_seconds", 4.0, "snapshot_s"),
        ("allow_identifiers", True, "allow_identifiers"),
        ("new_names_per_hour", 5, "new_names_per_hour"),
        ("database", "postgresql://me@db/abuse", "database"),
    ],
)
def test_option_is_a_setting(name: str, value: Any, setting: str) -> None:
    assert getattr(settings(**{name: value}), setting) == value


@pytest.mark.parametrize(
    ("name", "value", "limit", "becomes"),
    [
        ("header_timeout", 1.0, "header_s", 1.0),
        ("body_timeout", 2.0, "body_s", 2.0),
        ("connections", 3, "connections", 3),
        ("peer_connections", 4, "peer_connections", 4),
        ("key_events", 5.0, "key_events", 5.0),
        ("key_megabytes", 6.0, "key_bytes", 6 << 20),
    ],
)
def test_option_is_a_limit(name: str, value: Any, limit: str, becomes: Any) -> None:
    assert getattr(settings(**{name: value}).limits, limit) == becomes


def test_no_address_has_a_limit_behind_a_proxy() -> None:
    assert settings(trusted_proxies=1, peer_connections=9).limits.peer_connections == 0


def test_url_of_the_database_is_read_from_a_private_file(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("postgresql://me:secret@db/abuse\n")
    file.chmod(0o644)
    with pytest.raises(UsageError, match="can be read or changed by others"):
        Storage(database=str(file)).database_url()
    file.chmod(0o600)
    assert Storage(database=str(file)).database_url() == "postgresql://me:secret@db/abuse"


def test_directory_beside_a_simulated_day_is_of_the_demo(tmp_path: Path) -> None:
    (tmp_path / "world").mkdir()
    assert is_demo_home(tmp_path / "service")
    assert not is_demo_home(tmp_path / "other")
