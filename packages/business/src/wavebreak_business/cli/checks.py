"""Command group `business`: check, example, pseudonyms."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from wavebreak.cli.commands import command
from wavebreak.cli.console import (
    command as command_line,
)
from wavebreak.cli.console import (
    echo,
    out,
    print_json,
    print_next_steps,
    progress_bar,
)
from wavebreak.cli.options import HtmlPage, Json, Key, Wide
from wavebreak.errors import UsageError
from wavebreak_business.cli import business


def _prices(given: list[str]) -> dict[str, float]:
    """Parse `CATEGORY=AMOUNT`.

    >>> _prices(["marketing=0.06"])
    {'marketing': 0.06}
    """
    from wavebreak_business.record_table import CATEGORIES

    prices = {}
    for text in given:
        category, _, amount = text.partition("=")
        try:
            price = float(amount)
        except ValueError:
            price = -1.0
        if category not in CATEGORIES or not 0 <= price < 1e6:
            raise UsageError(
                "--price is not well formed",
                fix=f"write it as CATEGORY=AMOUNT with one of {', '.join(CATEGORIES)}",
            )
        prices[category] = price
    return prices


def _limit(text: str) -> int | None:
    """Parse a limit: people a day, or `none` for no limit; an empty text is no answer.

    >>> _limit("2000"), _limit("none"), _limit("")
    (2000, -1, None)
    """
    if not text:
        return None
    if text == "none":
        return -1
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 10**9):
        raise UsageError("--limit is no number of people", fix="write 250, or none for no limit")
    return int(text)


@command(
    business,
    "wavebreak business check hooks.jsonl --portfolio shop",
    "wavebreak business check logs --portfolio shop --html shop.html --lang he",
    "wavebreak business check logs --portfolio shop --price marketing=0.06 "
    "--consent consent.csv --limit 2000 --strict",
)
def check(
    logs: Annotated[
        list[Path],
        typer.Argument(
            help="Webhook logs: JSON Lines, JSON arrays or one payload a file (also .gz), or "
            "directories of them."
        ),
    ],
    *,
    portfolio: Annotated[str, typer.Option(help="Name of the portfolio, for the report.")],
    html: HtmlPage = None,
    lang: Annotated[str, typer.Option(help="Language of the report, for example he.")] = "en",
    price: Annotated[
        list[str] | None,
        typer.Option(metavar="CATEGORY=AMOUNT", help="Price of a message, where logs have none."),
    ] = None,
    limit: Annotated[
        str,
        typer.Option(
            metavar="PEOPLE|none", help="Limit of people a day (default: what the logs announce)."
        ),
    ] = "",
    consent: Annotated[
        Path | None, typer.Option(help="Records of consent: CSV with a header person,at.")
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(help="Directory with a codes.toml or limits.toml of your own."),
    ] = None,
    key: Key = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with status 1 where there is something to do.")
    ] = False,
    as_json: Json = False,
    wide: Wide = False,
) -> None:
    """Say what failed and why, what to stop, when to retry, and how near the limits are.

    Reads webhooks of WhatsApp's Cloud API, Twilio, Infobip, Sinch and Bird. Phone numbers become
    pseudonyms on entry; texts are not looked at. Nothing is sent anywhere.
    """
    from wavebreak.privacy.secret_key import load_key
    from wavebreak.reports.html import write_html
    from wavebreak.reports.report import print_report
    from wavebreak_business.answers import Options
    from wavebreak_business.findings import find
    from wavebreak_business.identities import Identities
    from wavebreak_business.log_files import read_consent, read_logs
    from wavebreak_business.record_table import RecordTable
    from wavebreak_business.report import check_report, make_check
    from wavebreak_business.settings import load_settings
    from wavebreak_business.texts import Words, offered_languages

    if lang not in offered_languages():
        fix = f"choose one of {', '.join(offered_languages())}"
        raise UsageError("--lang is unknown", fix=fix)
    options = Options(_limit(limit), _prices(price or []), consent is not None)
    settings = load_settings(policy)
    table = RecordTable(Identities(load_key(key)))
    with progress_bar("check") as show:
        reading = read_logs(logs, table, show)
    if consent is not None:
        read_consent(consent, table)
    done = make_check(portfolio, find(table, settings, options), reading, table, settings)
    report = check_report(done, Words(lang))
    if html is not None:
        write_html(report, html)
    if as_json:
        print_json(report.data)
    else:
        print_report(report, out)
        if html is not None:
            out.print(f"Written to {html}")
    if strict and done.needs_action():
        raise typer.Exit(1)


@command(business, "wavebreak business example -o logs")
def example(
    *,
    out_path: Annotated[Path, typer.Option("--out", "-o", help="New directory for the logs.")],
) -> None:
    """Write synthetic logs of a shop, in the shapes of three providers, for trying `check` out."""
    from wavebreak_business.example_logs import write_example

    for path in write_example(out_path):
        out.print(str(path))
    print_next_steps(
        [command_line("wavebreak", "business", "check", out_path, "--portfolio", "shop")]
    )


@command(business, "wavebreak business pseudonyms < people.txt > pseudonyms.txt")
def pseudonyms(*, key: Key = None) -> None:
    """Print the pseudonyms of the people on standard input, one a line, in their order.

    With the same key they are those of a report's JSON, so that you find the people on your own
    list. Numbers are read from standard input alone: the list of processes shows a command line.
    """
    from wavebreak.privacy.secret_key import load_key
    from wavebreak_business.identities import MAX_ID, Identities

    identities = Identities(load_key(key))
    for line in sys.stdin:
        echo(identities.person(line.strip()[:MAX_ID]) if line.strip() else "")
