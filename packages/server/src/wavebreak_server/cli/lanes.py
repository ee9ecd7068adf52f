"""Commands of declared lanes: list, declare."""

from __future__ import annotations

import time
from typing import Annotated

import msgspec
import typer
from django.db import transaction

from wavebreak.cli.app import command_group
from wavebreak.cli.console import command, out, print_json, print_next_steps
from wavebreak.cli.options import Json, Wide
from wavebreak.errors import UsageError
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.privacy.secret_key import load_key
from wavebreak.reports.tables import Table, number, print_table, stamp
from wavebreak.rules import load_policy
from wavebreak_server.cli.service_home import (
    BY,
    Home,
    bind_deployment_key,
    connect,
    in_database,
    opens_home,
)
from wavebreak_server.config_sources import Effective
from wavebreak_server.errors import ApiError
from wavebreak_server.pipeline.live_policy import live_directory
from wavebreak_server.slices.lanes import service as lane_service
from wavebreak_server.storage import ownership

lanes = command_group("lane", "Accounts that are declared to write first by trade.")


@lanes.command("list", epilog="Example: `wavebreak lane list var`")
@opens_home("policy", "key", "database")
def list_lanes(home: Home, options: Effective, as_json: Json = False, wide: Wide = False) -> None:
    """Show what each lane allows, and who holds one: since when, by whom and why.

    Read from the newest snapshot and the log after it. A lane of a log that the service began with
    (`--backfill`) has neither a date nor an author.
    """
    policy = load_policy(live_directory(home) or options.configuration.decisions.policy)
    found = in_database(
        options, home, lambda _: lane_service.overview(lane_service.stored(home), policy)
    )
    if as_json:
        print_json(msgspec.to_builtins(found))
        return
    floors = [
        (
            floor.lane,
            "no bound" if floor.strangers_1h is None else number(floor.strangers_1h),
            ", ".join(floor.rules) or "–",
        )
        for floor in found.floors
    ]
    columns = ("lane", "strangers an hour who have not answered", "rules")
    print_table(Table("What a lane allows", columns, floors, words=frozenset({0, 2})), out)
    if not found.accounts:
        out.print("nobody is declared; see docs/explanation/business.md")
        return
    rows = [
        (
            each.account,
            each.lane,
            "–" if each.since_ms is None else stamp(each.since_ms),
            each.by or "–",
            each.reason or "–",
        )
        for each in found.accounts
    ]
    named = ("account", "lane", "since (UTC)", "by", "reason")
    print_table(Table("Declared accounts", named, rows, words=frozenset(range(5))), out)


@lanes.command(
    "declare", epilog="Example: `wavebreak lane declare var firm-7 clinic --reason 'licence seen'`"
)
@opens_home("allow_identifiers", "key", "database")
def declare(
    home: Home,
    account: Annotated[str, typer.Argument(help="The account.")],
    lane: Annotated[
        str, typer.Argument(help="courier, clinic, code_sender, school; none withdraws it.")
    ],
    options: Effective,
    reason: Annotated[str, typer.Option(help="Reason, for the audit log.")],
    as_json: Json = False,
) -> None:
    """Declare an account in the log of a service that is stopped; its next start takes it first.

    While the service runs, use the console (Settings, Declared lanes) or
    `PUT /v1/accounts/{account}/lane`.
    """
    allow = options.configuration.decisions.allow_identifiers
    edge = Pseudonymizer(load_key(options.configuration.keys.key))

    connect(options, home)
    with ownership.owned(home):
        bind_deployment_key(options)
        try:
            with transaction.atomic():
                event = lane_service.declare_stored(
                    home, edge, account, lane_service.lane_of(lane),
                    now_ms=time.time_ns() // 1_000_000, by=BY, reason=reason, identifiers=allow,
                )  # fmt: skip
        except ApiError as error:
            raise UsageError(error.what, fix=error.fix or "see `wavebreak lane list`") from None
    if as_json:
        print_json({"account": account, "lane": lane, "event": event})
        return
    out.print(f"{account} is declared from its next message on: {lane}")
    print_next_steps([command("wavebreak", "serve", home)])
