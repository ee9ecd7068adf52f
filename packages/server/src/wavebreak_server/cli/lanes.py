"""Commands of declared lanes: list, declare."""

from __future__ import annotations

from typing import Annotated

import msgspec
from django.db import transaction

from wavebreak.cli.app import command_group
from wavebreak.cli.commands import Output
from wavebreak.cli.console import command
from wavebreak.errors import UsageError
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.privacy.secret_key import load_key
from wavebreak.reports.tables import Table, number, stamp
from wavebreak.rules import load_policy
from wavebreak_server.cli import service_home
from wavebreak_server.errors import ApiError
from wavebreak_server.pipeline.live_policy import live_directory
from wavebreak_server.slices.lanes import service as lane_service
from wavebreak_server.storage import ownership

lanes = command_group("lane", "Accounts that are declared to write first by trade.")


@service_home.service_command(lanes, "wavebreak lane list var", reads="policy key database")
def list_(home: service_home.Home) -> Output:
    """Show what each lane allows, and who holds one: since when, by whom and why.

    Read from the newest snapshot and the log after it. A lane of a log that the service began with
    (`--backfill`) has neither a date nor an author.
    """
    policy = load_policy(live_directory(home.path) or home.decisions.policy)
    overview = home.in_database(
        lambda _: lane_service.overview(lane_service.stored(home.path), policy)
    )
    floors = [
        (
            floor.lane,
            "no bound" if floor.strangers_1h is None else number(floor.strangers_1h),
            ", ".join(floor.rules) or "–",
        )
        for floor in overview.floors
    ]
    rows = [
        (
            account.account,
            account.lane,
            "–" if account.since_ms is None else stamp(account.since_ms),
            account.by or "–",
            account.reason or "–",
        )
        for account in overview.accounts
    ]
    columns = ("lane", "strangers an hour who have not answered", "rules")
    headings = ("account", "lane", "since (UTC)", "by", "reason")
    return Output(
        msgspec.to_builtins(overview),
        Table("What a lane allows", columns, floors, words=frozenset({0, 2})),
        Table("Declared accounts", headings, rows, words=frozenset(range(5)))
        if rows
        else "nobody is declared; see docs/explanation/business.md",
    )


@service_home.service_command(
    lanes,
    "wavebreak lane declare var firm-7 clinic --reason 'licence seen'",
    reads="allow_identifiers key database",
    remote=True,
)
def declare(
    home: service_home.Home,
    account: Annotated[str, "The account."],
    lane: Annotated[str, "courier, clinic, code_sender, school; none withdraws it."],
    *,
    reason: service_home.Reason,
) -> Output:
    """Declare an account in the log of a service that is stopped; its next start takes it first.

    While the service runs, give its URL, or use the console (Settings, Declared lanes).
    """
    if home.url:
        body = {"lane": lane, "reason": reason}
        event = home.call("declare_lane", account=account, body=body).event
    else:
        edge = Pseudonymizer(load_key(home.key))
        home.connect()
        with ownership.owned(home.path):
            service_home.bind_deployment_key(home.options)
            try:
                with transaction.atomic():
                    event = lane_service.declare_stored(
                        home.path,
                        edge,
                        account,
                        lane_service.lane_of(lane),
                        now_ms=service_home.clock_ms(),
                        by=service_home.BY,
                        reason=reason,
                        identifiers=home.decisions.allow_identifiers,
                    )
            except ApiError as error:
                raise UsageError(error.what, fix=error.fix or "see `wavebreak lane list`") from None
    return Output(
        {"account": account, "lane": lane, "event": event},
        f"{account} is declared from its next message on: {lane}",
        steps=[] if home.url else [command("wavebreak", "serve", home.path)],
    )
