"""Commands of the platform's rules: limits, decide, replay, simulate."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from wavebreak.cli.commands import command
from wavebreak.cli.console import out, print_json
from wavebreak.cli.options import Enforce, Json, Key, OutDir, PolicyDir, Seed, Wide
from wavebreak.errors import FileError, UsageError
from wavebreak_business.cli import business

Policy = Annotated[
    Path | None, typer.Option(help="Directory with a codes.toml or limits.toml of your own.")
]


@command(business, "wavebreak business limits", "wavebreak business limits --policy my-policy")
def limits(*, policy: Policy = None, as_json: Json = False, wide: Wide = False) -> None:
    """Print the platform's limits in force, or what is wrong in a file of your own, by line."""
    import msgspec

    from wavebreak.reports.tables import Table, number, percent, print_table
    from wavebreak_business.settings import load_limits

    found = load_limits(policy)
    if as_json:
        print_json(msgspec.to_builtins(found))
        return
    steps = " → ".join([*(number(step) for step in found.limit.steps), "no limit"])
    pacing, quality = found.pacing, found.quality
    rows = [
        ("window", f"{found.window}, closed at exactly that; {found.entry_window} by a free entry"),
        ("people outside windows", f"{steps}, each once in {found.limit.span}"),
        (
            "a step up",
            f"{percent(found.limit.raise_share)} used in {found.limit.raise_days} d and high "
            f"quality, after {found.limit.raise_wait}",
        ),
        ("one person", f"every {found.pair.interval}, {found.pair.burst} at once"),
        (
            "a number",
            f"{found.throughput.default} a second, upgraded {number(found.throughput.upgraded)}, "
            f"with the app {found.throughput.shared}",
        ),
        ("consent needed for", ", ".join(found.consent.required) or "nothing"),
        ("a stop covers", ", ".join(found.revocation.categories)),
        ("new template", f"{number(pacing.first)} people, then {pacing.wait} on hold"),
        ("pause of a template", " → ".join([*found.pauses.ladder, "disabled"])),
        ("low, medium quality", f"{percent(quality.low)}, {percent(quality.medium)} bad of a week"),
        ("ladder", " → ".join(step.name for step in found.ladder.steps)),
        ("a service's log stays", (found.log.keep and f"{found.log.keep} at least") or "for ever"),
    ]
    title = f"Limits as of {found.as_of.isoformat()}"
    print_table(Table(title, ("limit", "value"), rows, words=frozenset({0, 1})), out)


@command(business, "wavebreak business decide events.jsonl --json")
def decide(
    events: Annotated[Path, typer.Argument(help="Events of the platform, one JSON object a line.")],
    *,
    policy: Policy = None,
    as_json: Json = False,
    wide: Wide = False,
) -> None:
    """Decide every send of a log: accepted, held or refused, why, and when it would go.

    The log holds registrations (`portfolio.updated`, `template.updated`), words on consent,
    messages and reactions in their order. The same log gives the same answers.
    """
    from wavebreak.reports.tables import Table, number, print_lines, print_table
    from wavebreak_business.platform.events import read_events
    from wavebreak_business.platform.platform import Platform
    from wavebreak_business.settings import load_settings

    settings = load_settings(policy)
    try:
        lines = events.read_bytes().splitlines()
    except OSError:
        raise FileError(f"{events} cannot be read", fix="give a file of events") from None
    read = read_events(lines)
    result = Platform(settings).apply(read.events)
    if as_json:
        print_json(
            {
                "answers": [answer._asdict() for answer in result.answers],
                "changes": [change._asdict() for change in result.changes],
                "refused_events": [
                    {"id": name, "what": error.what, "fix": error.fix}
                    for name, error in result.refused
                ],
                "repeated": result.repeated,
                "between_people": result.persons,
                "other_types": read.others,
            }
        )
        return
    counts = Counter((a.outcome, a.code, a.fix) for a in result.answers)
    rows = [
        (outcome, number(count), code or "–", fix or "–")
        for (outcome, code, fix), count in sorted(counts.items(), key=lambda item: -item[1])
    ]
    columns = ("outcome", "sends", "code", "what to do")
    print_table(Table("Sends", columns, rows, words=frozenset({0, 2, 3})), out)
    if result.changes:
        changed = Counter(change.what for change in result.changes)
        some = [(what, number(count)) for what, count in sorted(changed.items())]
        print_table(Table("What changed by itself", ("change", "times"), some), out)
    print_lines([f"{name}: {error}" for name, error in result.refused[:10]], out)


@command(business, "wavebreak business replay events.jsonl -o out")
def replay(
    events: Annotated[Path, typer.Argument(help="Events of all, one JSON object a line.")],
    *,
    out_path: OutDir,
    policy: PolicyDir = None,
    limits: Annotated[
        Path | None, typer.Option(help="Directory with a codes.toml or limits.toml of your own.")
    ] = None,
    enforce: Enforce = False,
    key: Key = None,
    as_json: Json = False,
    wide: Wide = False,
) -> None:
    """Decide a mixed log: businesses' sends by the platform's rules, people by the engine.

    Writes business.jsonl, an answer a send, and what `wavebreak run` writes. What the platform
    refuses reached nobody. Who sends for no registered portfolio is refused (`no_portfolio`), and
    judged as a person.
    """
    from wavebreak import engine, rules
    from wavebreak.privacy.pseudonymizer import Pseudonymizer
    from wavebreak.privacy.secret_key import load_key
    from wavebreak.reports.tables import Table, number, print_table
    from wavebreak_business.platform.platform import Platform
    from wavebreak_business.platform.replay import Replay, write_replay
    from wavebreak_business.settings import load_settings

    edge = Pseudonymizer(load_key(key))
    try:
        with events.open("rb") as lines:
            told = write_replay(Replay(Platform(load_settings(limits))), lines, out_path, edge)
    except OSError:
        raise FileError(f"{events} cannot be read", fix="give a file of events") from None
    summary = engine.run(
        told.log, out_path, policy=rules.load_policy(policy), edge=edge, enforce=enforce
    )
    made: dict[str, int] = summary["decisions"]["outcome"]
    counted = told.as_json() | {"decisions": made}
    if as_json:
        print_json(counted)
        return
    rows = [(outcome, number(count)) for outcome, count in told.outcomes.most_common()]
    print_table(Table("Sends of businesses", ("outcome", "sends"), rows), out)
    people = [("events", number(summary["events"])), ("decisions", number(sum(made.values())))]
    print_table(Table("The engine", ("what", "count"), people), out)
    if told.refused:
        refused = [(cause, number(count)) for cause, count in told.refused.most_common()]
        print_table(Table("Events refused", ("cause", "events"), refused), out)


@command(business, "wavebreak business erase out --list var/erasures.jsonl")
def erase(
    out_path: Annotated[Path, typer.Argument(metavar="OUT", help="Directory that replay wrote.")],
    accounts: Annotated[list[str] | None, typer.Argument(help="Whom to erase.")] = None,
    *,
    listed: Annotated[
        Path | None,
        typer.Option("--list", metavar="FILE", help="A service's list: HOME/erasures.jsonl."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Erase people's pseudonyms from the log of a replay, as an erasure does from a service's log.

    Numbers and addresses of the accounts go; accounts and counts stay. A service's erasure does not
    know of files that were written elsewhere: run this over each, or delete them.
    """
    from wavebreak.privacy.erasure import erase_from_file
    from wavebreak.reports.tables import count_of
    from wavebreak_business.platform.replay import LOG, listed_accounts

    wanted = {*(accounts or ()), *(listed_accounts(listed) if listed is not None else ())}
    if not wanted:
        raise UsageError("nobody is named", fix="name accounts, or give --list FILE")
    path = out_path / LOG
    if not path.exists():
        raise FileError(f"{path} does not exist", fix="give the directory that replay wrote")
    found = erase_from_file(path, wanted)
    if as_json:
        print_json({"events": sum(found.values()), "accounts": len(found)})
        return
    of = count_of(len(found), "account")
    out.print(f"{count_of(sum(found.values()), 'event')} of {of} erased from {path}")


@command(business, "wavebreak business simulate --list opted_in --people 100000")
def simulate(
    *,
    lists: Annotated[
        list[str] | None,
        typer.Option("--list", help="Which, such as opted_in or forged (default: each)."),
    ] = None,
    people: Annotated[int, typer.Option(min=1, max=1_000_000, help="People on a list.")] = 10_000,
    policy: Policy = None,
    seed: Seed = 0,
    as_json: Json = False,
    wide: Wide = False,
) -> None:
    """Simulate campaigns: to people who agreed, to bought numbers, without a portfolio.

    People read, answer, stop, block and report with chances that `--json` states: they are
    assumptions. The limit is as many people as are on the list.
    """
    from wavebreak.reports.tables import Table, number, print_table
    from wavebreak_business.platform.campaigns import LISTS, run_campaign
    from wavebreak_business.settings import load_settings

    if wrong := [name for name in lists or () if name not in LISTS]:
        raise UsageError(f"--list {wrong[0]} is unknown", fix=f"choose of {', '.join(LISTS)}")
    settings = load_settings(policy)
    chosen = [name for name in LISTS if not lists or name in lists]
    told = [run_campaign(name, people, settings, seed=seed) for name in chosen]
    if as_json:
        print_json([campaign.as_json() for campaign in told])
        return
    rows = [
        (
            c.list_name, number(c.tried), number(c.delivered), number(c.dropped),
            ", ".join(f"{name} {number(n)}" for name, n in c.refused.most_common()) or "–",
            number(c.wrong),
            ", ".join(f"{what} after {number(n)}" for what, n in c.changes) or "–",
        )
        for c in told
    ]  # fmt: skip
    columns = ("list", "sends", "delivered", "dropped", "refused", "wrongly", "what changed")
    note = (
        "Two messages to everybody, 25 hours apart. Reactions are drawn by chances, not measured."
    )
    print_table(
        Table(f"Campaigns to {number(people)} people", columns, rows, note, frozenset({0, 4, 6})),
        out,
    )
