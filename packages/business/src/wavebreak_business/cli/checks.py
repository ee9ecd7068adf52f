"""Command group `business`: check, example, pseudonyms."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from wavebreak.cli import console, options
from wavebreak.cli.commands import FAILED, Output, command
from wavebreak.errors import UsageError
from wavebreak.privacy import secret_key
from wavebreak.reports import html as html_pages
from wavebreak_business import (
    answers,
    example_logs,
    findings,
    identities,
    log_files,
    record_table,
    settings,
    texts,
)
from wavebreak_business import report as reports
from wavebreak_business.cli import business

Policy = Annotated[Path | None, "Directory with a codes.toml or limits.toml of your own."]


def _prices(pairs: Sequence[str]) -> dict[str, float]:
    """Parse `CATEGORY=AMOUNT`.

    >>> _prices(["marketing=0.06"])
    {'marketing': 0.06}
    """
    prices = {}
    for text in pairs:
        category, _, amount = text.partition("=")
        try:
            price = float(amount)
        except ValueError:
            price = -1.0
        if category not in record_table.CATEGORIES or not 0 <= price < 1e6:
            raise UsageError(
                "--price is not well formed",
                fix=f"write it as CATEGORY=AMOUNT with one of {', '.join(record_table.CATEGORIES)}",
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
    "wavebreak business check logs --portfolio shop --price marketing=0.06 --consent consent.csv "
    "--limit 2000 --strict",
)
def check(
    logs: Annotated[
        list[Path],
        "Webhook logs: JSON Lines, JSON arrays or one payload a file (also .gz), or directories of "
        "them.",
    ],
    *,
    portfolio: Annotated[str, "Name of the portfolio, for the report."],
    html: options.HtmlPage = None,
    lang: Annotated[str, "Language of the report, for example he."] = "en",
    price: Annotated[
        Sequence[str],
        typer.Option(metavar="CATEGORY=AMOUNT", help="Price of a message, where logs have none."),
    ] = (),
    limit: Annotated[
        str,
        typer.Option(
            metavar="PEOPLE|none", help="Limit of people a day (default: what the logs announce)."
        ),
    ] = "",
    consent: Annotated[Path | None, "Records of consent: CSV with a header person,at."] = None,
    policy: Policy = None,
    key: options.Key = None,
    strict: Annotated[bool, "Exit with status 1 where there is something to do."] = False,
) -> Output:
    """Say what failed and why, what to stop, when to retry, and how near the limits are.

    Reads webhooks of WhatsApp's Cloud API, Twilio, Infobip, Sinch and Bird. Phone numbers become
    pseudonyms on entry; texts are not looked at. Nothing is sent anywhere.
    """
    if lang not in texts.offered_languages():
        fix = f"choose one of {', '.join(texts.offered_languages())}"
        raise UsageError("--lang is unknown", fix=fix)
    answer_options = answers.Options(_limit(limit), _prices(price), consent is not None)
    loaded = settings.load_settings(policy)
    table = record_table.RecordTable(identities.Identities(secret_key.load_key(key)))
    with console.progress_bar("check") as show:
        reading = log_files.read_logs(logs, table, show)
    if consent is not None:
        log_files.read_consent(consent, table)
    problems = findings.find(table, loaded, answer_options)
    result = reports.make_check(portfolio, problems, reading, table, loaded)
    report = reports.check_report(result, texts.Words(lang))
    if html is not None:
        html_pages.write_html(report, html)
    return Output(
        report,
        *([f"Written to {html}"] if html else []),
        code=FAILED if strict and result.needs_action() else 0,
    )


@command(business, "wavebreak business example -o logs")
def example(
    *, out: Annotated[Path, typer.Option("--out", "-o", help="New directory for the logs.")]
) -> None:
    """Write synthetic logs of a shop, in the shapes of three providers, for trying `check` out."""
    for path in example_logs.write_example(out):
        console.out.print(str(path))
    check_it = console.command("wavebreak", "business", "check", out, "--portfolio", "shop")
    console.print_next_steps([check_it])


@command(business, "wavebreak business pseudonyms < people.txt > pseudonyms.txt")
def pseudonyms(*, key: options.Key = None) -> None:
    """Print the pseudonyms of the people on standard input, one a line, in their order.

    With the same key they are those of a report's JSON, so that you find the people on your own
    list. Numbers are read from standard input alone: the list of processes shows a command line.
    """
    people = identities.Identities(secret_key.load_key(key))
    for line in sys.stdin:
        person = line.strip()[: identities.MAX_ID]
        console.echo(people.person(person) if person else "")
