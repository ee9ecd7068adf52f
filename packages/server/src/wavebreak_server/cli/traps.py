"""Commands of traps: add, list, rotate. None of them prints a trap."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from wavebreak.cli.app import command_group
from wavebreak.cli.commands import Output
from wavebreak.cli.console import command
from wavebreak.errors import UsageError
from wavebreak.privacy import traps
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.privacy.secret_key import load_key
from wavebreak.reports.tables import Table, count_of, stamp
from wavebreak_server.cli.service_home import (
    BY,
    Home,
    Reason,
    bind_deployment_key,
    clock_ms,
    service_command,
)
from wavebreak_server.slices.traps import service as trap_service

trap_group = command_group(
    "traps", "Numbers and accounts of nobody, which honest people do not know."
)


@service_command(
    trap_group,
    "wavebreak traps add var unassigned.txt --reason 'range of May'",
    reads="allow_identifiers key database",
)
def add(
    home: Home,
    entries: Annotated[
        Path,
        "File with an account, a number, or a range (97250123456x, 4912-4915) on each line.",
    ],
    *,
    reason: Reason,
) -> Output:
    """Declare traps: accounts and numbers that were never assigned, or are dead for long.

    Whoever writes first to two of them within four weeks has its numbers from a range or from a
    bought or scraped list. Delete the file of entries afterwards: the service keeps pseudonyms
    alone. Accounts that did something within 180 days are refused.
    """
    secret = _open(home)
    edge = Pseudonymizer(secret)
    try:
        lines = entries.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise UsageError(
            f"{entries} cannot be read as text", fix="give a file with an entry on each line"
        ) from None
    names = trap_service.read_entries(lines, allow_identifiers=home.decisions.allow_identifiers)
    new = {edge.trap_pseudonym(name) for name in names}
    use = trap_service.read_use(edge, new, clock_ms())
    if use.active:
        raise UsageError(
            f"{count_of(len(use.active), 'entry', 'entries')} of {len(new):,} did something within "
            "180 days: accounts in use are no traps",
            fix="take only what was never assigned, or is dead for at least half a year",
        )
    counts = home.in_database(
        lambda time_ms: trap_service.add(
            home.path, secret, new, now_ms=time_ms, by=BY, reason=reason
        )
    )
    duplicates = f" ({counts.duplicates:,} were traps before)" if counts.duplicates else ""
    return Output(
        msgspec.to_builtins(counts),
        f"{count_of(counts.added, 'trap')} added{duplicates}; the service has {counts.total:,}. "
        "A running service reads them at its next start",
        steps=[command("wavebreak", "serve", home.path)],
    )


@service_command(trap_group, "wavebreak traps list var", reads="key database")
def list_(home: Home) -> Output:
    """Show when traps were added and how many, how many were written to, and by how many accounts.

    Read from the file of traps and the service's log. No trap is named.
    """
    sets, use = _read_traps(home, _open(home))
    rows = trap_service.overview(sets, use)
    table = Table(
        "Traps",
        ("added (UTC)", "traps", "written to", "by accounts"),
        [
            (stamp(row.added_at_ms), f"{row.traps:,}", f"{row.hit_traps:,}", f"{row.senders:,}")
            for row in rows
        ],
        words=frozenset({0}),
    )
    return Output(
        msgspec.to_builtins(rows),
        table if rows else "there are no traps; see docs/how-to/set-traps.md",
    )


@service_command(trap_group, "wavebreak traps rotate var --reason 'monthly'", reads="key database")
def rotate(home: Home, *, reason: Reason) -> Output:
    """Retire traps that are in use, burnt or old, and say how many new ones are wanted.

    In use: the account did something within 180 days. Burnt: 20 accounts have written to it. Old:
    added a year ago.
    """
    secret = _open(home)
    _, use = _read_traps(home, secret)
    counts = home.in_database(
        lambda time_ms: trap_service.rotate(
            home.path, secret, use, now_ms=time_ms, by=BY, reason=reason
        )
    )
    retired = (
        f"{count_of(counts.retired, 'trap')} retired ({counts.in_use:,} in use, {counts.burnt:,} "
        f"burnt, {counts.old:,} old); {counts.total:,} left"
    )
    return Output(
        msgspec.to_builtins(counts) | {"wanted": counts.retired},
        retired,
        *([f"add {count_of(counts.retired, 'new trap')} in their place"] if counts.retired else []),
        steps=[command("wavebreak", "serve", home.path)] if counts.retired else [],
    )


def _open(home: Home) -> bytes:
    """Open the service's database; return the deployment's key."""
    home.connect()
    bind_deployment_key(home.options)
    return load_key(home.key)


def _read_traps(home: Home, secret: bytes) -> tuple[list[traps.TrapSet], trap_service.TrapUse]:
    """Return the declared traps, and their use by the log."""
    sets = traps.load(home.path / traps.FILE, secret)
    pseudonyms = traps.all_pseudonyms(sets)
    return sets, trap_service.read_use(Pseudonymizer(secret), pseudonyms, clock_ms())
