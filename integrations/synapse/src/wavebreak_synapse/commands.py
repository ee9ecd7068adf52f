"""`wavebreak-synapse`: what an administrator runs beside Synapse, with Synapse's own Python."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from wavebreak_client import Client, ServiceError

from wavebreak_synapse.config import SettingError, Settings, parse_settings
from wavebreak_synapse.homeserver_database import CommandError
from wavebreak_synapse.mas_data import (
    DAYS,
    LEAST_ACCOUNTS,
    LEAST_SHARE,
    Bounds,
    banned_by,
    banned_networks,
    policy_data,
    read_addresses,
)
from wavebreak_synapse.release import release, resume_list

MODULE = "wavebreak_synapse.Module"
DAY_MS = 86_400_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code: 0, or 1 with the fix on standard error."""
    parser = argparse.ArgumentParser("wavebreak-synapse", description=__doc__)
    commands = parser.add_subparsers(required=True)
    _add_mas_data(commands)
    _add_policy_key(commands)
    _add_release(commands)
    _add_resume_list(commands)
    given = parser.parse_args(arguments)
    try:
        given.run(given)
    except (CommandError, ServiceError, SettingError) as error:
        print(f"wavebreak-synapse: {error}", file=sys.stderr)
        return 1
    return 0


def _add_mas_data(commands: Any) -> None:
    made = commands.add_parser(
        "mas-data",
        help="print policy data for the Matrix Authentication Service: networks to block",
        description="Prints networks in which nearly all accounts that Synapse has seen are banned"
        " by Wavebreak, as policy data of the Matrix Authentication Service. Nothing is written"
        " to disk.",
    )
    made.add_argument("--config", required=True, type=Path, help="Synapse's homeserver.yaml")
    made.add_argument(
        "--accounts", type=int, default=LEAST_ACCOUNTS, help="banned accounts, at least (3)"
    )
    made.add_argument(
        "--share", type=float, default=LEAST_SHARE, help="share of banned accounts, at least (0.9)"
    )
    made.add_argument("--days", type=int, default=DAYS, help="how far back (28)")
    made.add_argument(
        "--envelope",
        action="store_true",
        help="as the body of MAS's POST /api/admin/v1/policy-data",
    )
    made.set_defaults(run=_mas_data)


def _add_policy_key(commands: Any) -> None:
    made = commands.add_parser(
        "policy-key",
        help="make the key of a policy server, and print what a room's m.room.policy needs",
        description="Makes the key, where there is none, and prints the content of m.room.policy.",
    )
    made.add_argument("file", type=Path, help="the key file; made with mode 0600")
    made.add_argument("--server-name", required=True, help="server_name of homeserver.yaml")
    made.set_defaults(run=_policy_key)


def _add_release(commands: Any) -> None:
    made = commands.add_parser(
        "release",
        help="undo what the module did, before it is uninstalled: run it while Synapse is stopped",
        description="Lifts the suspensions that the module set, and deletes its tables. Those that"
        " an administrator set stay.",
    )
    made.add_argument("--config", required=True, type=Path, help="Synapse's homeserver.yaml")
    made.set_defaults(run=_release)


def _add_resume_list(commands: Any) -> None:
    made = commands.add_parser(
        "resume-list",
        help="let a list tell again that was paused since it grew much within a day",
    )
    made.add_argument("name", help="the list's name below lists.rooms")
    made.add_argument("--config", required=True, type=Path, help="Synapse's homeserver.yaml")
    made.set_defaults(run=_resume_list)


def _resume_list(given: argparse.Namespace) -> None:
    if not resume_list(_read_config(given.config), given.name):
        raise CommandError(
            f"there is no list {given.name}. Fix: give a name that is below lists.rooms"
        )
    print(f"{given.name} tells again what is new")


def _release(given: argparse.Namespace) -> None:
    accounts, tables = release(_read_config(given.config))
    print(f"{accounts} accounts released, {tables} tables deleted")


def _mas_data(given: argparse.Namespace) -> None:
    bounds = Bounds(given.accounts, given.share, given.days)
    config = _read_config(given.config)
    settings = _settings_of(config)
    seen = read_addresses(config, int(time.time() * 1000) - bounds.days * DAY_MS)
    with Client(settings.url, settings.key, follow_states=False) as client:
        networks = banned_networks(seen, banned_by(client), bounds)
    data: dict[str, Any] = policy_data(networks)
    print(json.dumps({"data": data} if given.envelope else data, indent=2))
    print(f"{len(networks)} networks", file=sys.stderr)


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CommandError(
            f"--config cannot be read ({type(error).__name__}). Fix: give homeserver.yaml"
        ) from error
    if not isinstance(config, dict):
        raise CommandError("--config holds no settings. Fix: give homeserver.yaml")
    return config


def _settings_of(config: dict[str, Any]) -> Settings:
    for module in config.get("modules") or ():
        if isinstance(module, dict) and module.get("module") == MODULE:
            return parse_settings(module.get("config") or {})
    raise CommandError(f"--config has no module {MODULE}. Fix: give the file that has it")


def _policy_key(given: argparse.Namespace) -> None:
    from signedjson.key import (
        generate_signing_key,
        get_verify_key,
        read_signing_keys,
        write_signing_keys,
    )
    from unpaddedbase64 import encode_base64

    try:
        if not given.file.exists():
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            with os.fdopen(os.open(given.file, flags, 0o600), "w", encoding="utf-8") as out:
                write_signing_keys(out, [generate_signing_key("policy_server")])
        with given.file.open(encoding="utf-8") as written:
            (key,) = read_signing_keys(written)
    except (OSError, ValueError) as error:
        raise CommandError(
            f"{given.file} cannot be made or read ({type(error).__name__})."
            " Fix: give a new file in a directory that exists"
        ) from error
    public = encode_base64(get_verify_key(key).encode())
    content = {"via": given.server_name, "public_keys": {"ed25519": public}}
    print(json.dumps(content, indent=2))


if __name__ == "__main__":
    sys.exit(main())
