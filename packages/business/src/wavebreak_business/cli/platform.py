"""Commands of the platform's rules: limits, decide, replay, simulate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from wavebreak import engine, rules
from wavebreak.cli import options
from wavebreak.cli.commands import Output, command
from wavebreak.errors import FileError, UsageError
from wavebreak.privacy import erasure, pseudonymizer, secret_key
from wavebreak.reports import tables
from wavebreak.reports.tables import number, percent
from wavebreak_business import settings
from wavebreak_business.cli import business
from wavebreak_business.cli.checks import Policy
from wavebreak_business.platform import campaigns, platform
from wavebreak_business.platform import events as event_lines
from wavebreak_business.platform import replay as replays


@command(business, "wavebreak business limits", "wavebreak business limits --policy my-policy")
def limits(*, policy: Policy = None) -> Output:
    """Print the platform's limits in force, or what is wrong in a file of your own, by line."""
    limits = settings.load_limits(policy)
    steps = " → ".join([*(number(step) for step in limits.limit.steps), "no limit"])
    pacing, quality = limits.pacing, limits.quality
    rows = [
        (
            "window",
            f"{limits.window}, closed at exactly that; {limits.entry_window} by a free entry",
        ),
        ("people outside windows", f"{steps}, each once in {limits.limit.span}"),
        (
            "a step up",
            f"{percent(limits.limit.raise_share)} used in {limits.limit.raise_days} d and high "
            f"quality, after {limits.limit.raise_wait}",
        ),
        ("one person", f"every {limits.pair.interval}, {limits.pair.burst} at once"),
        (
            "a number",
            f"{limits.throughput.default} a second, upgraded {number(limits.throughput.upgraded)}, "
            f"with the app {limits.throughput.shared}",
        ),
        ("consent needed for", ", ".join(limits.consent.required) or "nothing"),
        ("a stop covers", ", ".join(limits.revocation.categories)),
        ("new template", f"{number(pacing.first)} people, then {pacing.wait} on hold"),
        ("pause of a template", " → ".join([*limits.pauses.ladder, "disabled"])),
        ("low, medium quality", f"{percent(quality.low)}, {percent(quality.medium)} bad of a week"),
        ("ladder", " → ".join(step.name for step in limits.ladder.steps)),
        (
            "a service's log stays",
            (limits.log.keep and f"{limits.log.keep} at least") or "for ever",
        ),
    ]
    title = f"Limits as of {limits.as_of.isoformat()}"
    table = tables.Table(title, ("limit", "value"), rows, words=frozenset({0, 1}))
    return Output(msgspec.to_builtins(limits), table)


@command(business, "wavebreak business decide events.jsonl --json")
def decide(
    events: Annotated[Path, "Events of the platform, one JSON object a line."],
    *,
    policy: Policy = None,
) -> Output:
    """Decide every send of a log: accepted, held or refused, why, and when it would go.

    The log holds registrations (`portfolio.updated`, `template.updated`), words on consent,
    messages and reactions in their order. The same log gives the same answers.
    """
    deciding = platform.Platform(settings.load_settings(policy))
    try:
        lines = events.read_bytes().splitlines()
    except OSError:
        raise FileError(f"{events} cannot be read", fix="give a file of events") from None
    read = event_lines.read_events(lines)
    result = deciding.apply(read.events)
    value = {
        "answers": [answer._asdict() for answer in result.answers],
        "changes": [change._asdict() for change in result.changes],
        "refused_events": [
            {"id": name, "what": error.what, "fix": error.fix} for name, error in result.refused
        ],
        "repeated": result.repeated,
        "between_people": result.persons,
        "other_types": read.others,
    }
    counts = Counter((a.outcome, a.code, a.fix) for a in result.answers)
    rows = [
        (outcome, number(count), code or "–", fix or "–")
        for (outcome, code, fix), count in sorted(counts.items(), key=lambda item: -item[1])
    ]
    columns = ("outcome", "sends", "code", "what to do")
    parts: list[Any] = [tables.Table("Sends", columns, rows, words=frozenset({0, 2, 3}))]
    if result.changes:
        changes = Counter(change.what for change in result.changes)
        rows_of_changes = [(change, number(count)) for change, count in sorted(changes.items())]
        title = "What changed by itself"
        parts.append(tables.Table(title, ("change", "times"), rows_of_changes))
    refused = [f"{name}: {error}" for name, error in result.refused[:10]]
    return Output(value, *parts, lambda out: tables.print_lines(refused, out))


@command(business, "wavebreak business replay events.jsonl -o out")
def replay(
    events: Annotated[Path, "Events of all, one JSON object a line."],
    *,
    out: options.OutDir,
    policy: options.PolicyDir = None,
    limits: Policy = None,
    enforce: options.Enforce = False,
    key: options.Key = None,
) -> Output:
    """Decide a mixed log: businesses' sends by the platform's rules, people by the engine.

    Writes business.jsonl, an answer a send, and what `wavebreak run` writes. What the platform
    refuses reached nobody. Who sends for no registered portfolio is refused (`no_portfolio`), and
    judged as a person.
    """
    edge = pseudonymizer.Pseudonymizer(secret_key.load_key(key))
    replay = replays.Replay(platform.Platform(settings.load_settings(limits)))
    try:
        with events.open("rb") as lines:
            result = replays.write_replay(replay, lines, out, edge)
    except OSError:
        raise FileError(f"{events} cannot be read", fix="give a file of events") from None
    summary = engine.run(
        result.log, out, policy=rules.load_policy(policy), edge=edge, enforce=enforce
    )
    decisions: dict[str, int] = summary["decisions"]["outcome"]
    sends = [(outcome, number(count)) for outcome, count in result.outcomes.most_common()]
    people = [("events", number(summary["events"])), ("decisions", number(sum(decisions.values())))]
    parts = [
        tables.Table("Sends of businesses", ("outcome", "sends"), sends),
        tables.Table("The engine", ("what", "count"), people),
    ]
    if result.refused:
        refused = [(cause, number(count)) for cause, count in result.refused.most_common()]
        parts.append(tables.Table("Events refused", ("cause", "events"), refused))
    return Output(result.as_json() | {"decisions": decisions}, *parts)


@command(business, "wavebreak business erase out --list var/erasures.jsonl")
def erase(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Directory that replay wrote.")],
    accounts: Annotated[list[str] | None, "Accounts to erase."] = None,
    *,
    listed: Annotated[
        Path | None,
        typer.Option("--list", metavar="FILE", help="A service's list: HOME/erasures.jsonl."),
    ] = None,
) -> Output:
    """Erase people's pseudonyms from the log of a replay, as an erasure does from a service's log.

    Numbers and addresses of the accounts go; accounts and counts stay. A service's erasure does not
    know of files that were written elsewhere: run this over each, or delete them.
    """
    names = {*(accounts or ()), *(replays.listed_accounts(listed) if listed is not None else ())}
    if not names:
        raise UsageError("nobody is named", fix="name accounts, or give --list FILE")
    path = out / replays.LOG
    if not path.exists():
        raise FileError(f"{path} does not exist", fix="give the directory that replay wrote")
    counts = erasure.erase_from_file(path, names)
    event_count = sum(counts.values())
    events, people = (
        tables.count_of(event_count, "event"),
        tables.count_of(len(counts), "account"),
    )
    return Output(
        {"events": event_count, "accounts": len(counts)}, f"{events} of {people} erased from {path}"
    )


@command(business, "wavebreak business simulate --list opted_in --people 100000")
def simulate(
    *,
    lists: Annotated[
        Sequence[str],
        typer.Option("--list", help="Which, such as opted_in or forged (default: each)."),
    ] = (),
    people: Annotated[int, typer.Option(min=1, max=1_000_000, help="People on a list.")] = 10_000,
    policy: Policy = None,
    seed: options.Seed = 0,
) -> Output:
    """Simulate campaigns: to people who agreed, to bought numbers, without a portfolio.

    People read, answer, stop, block and report with chances that `--json` states: they are
    assumptions. The limit is as many people as are on the list.
    """
    if unknown := [name for name in lists if name not in campaigns.LISTS]:
        fix = f"choose of {', '.join(campaigns.LISTS)}"
        raise UsageError(f"--list {unknown[0]} is unknown", fix=fix)
    loaded = settings.load_settings(policy)
    results = [
        campaigns.run_campaign(name, people, loaded, seed=seed)
        for name in campaigns.LISTS
        if not lists or name in lists
    ]
    rows = [
        (
            c.list_name,
            number(c.tried),
            number(c.delivered),
            number(c.dropped),
            ", ".join(f"{name} {number(n)}" for name, n in c.refused.most_common()) or "–",
            number(c.wrong),
            ", ".join(f"{change} after {number(n)}" for change, n in c.changes) or "–",
        )
        for c in results
    ]
    columns = ("list", "sends", "delivered", "dropped", "refused", "wrongly", "what changed")
    note = (
        "Two messages to everybody, 25 hours apart. Reactions are drawn by chances, not measured."
    )
    title = f"Campaigns to {number(people)} people"
    table = tables.Table(title, columns, rows, note, frozenset({0, 4, 6}))
    return Output([campaign.as_json() for campaign in results], table)
