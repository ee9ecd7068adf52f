"""Command `assess`: what the policy would do with somebody's own data, as one page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wavebreak.cli.app import app
from wavebreak.cli.console import command, echo, out, print_json, print_next_steps, progress_bar
from wavebreak.cli.events import Columns, Preset, Types, Unit, read_pairs
from wavebreak.cli.options import IpDatabase, Json, Key, Labels, ModelDir, PolicyDir, Shards, Wide
from wavebreak.errors import UsageError
from wavebreak.io.chat_servers import SERVERS, query_of

if TYPE_CHECKING:
    from wavebreak.assessment import Assessment


@app.command(
    epilog="Examples: `wavebreak assess events.jsonl`; "
    "`wavebreak assess chats.csv --columns ts=time,account=from,peer=to`; "
    "`wavebreak assess homeserver.db -o synapse.html --names names.csv`; "
    "`wavebreak assess --query synapse`"
)
def assess(
    source: Annotated[
        str,
        typer.Argument(
            metavar="EVENTS",
            help="Events (.jsonl .json .parquet .arrow, also .gz .zst), a CSV (.csv, .csv.gz), the "
            "SQLite database of a Synapse, Prosody or ejabberd, or - for JSON Lines on standard "
            "input.",
        ),
    ] = "",
    page: Annotated[Path, typer.Option("--out", "-o", help="HTML page to write.")] = Path(
        "assessment.html"
    ),
    preset: Preset = "",
    columns: Columns = "",
    unit: Unit = "s",
    types: Types = "",
    labels: Labels = None,
    names: Annotated[
        Path | None,
        typer.Option(
            help="Write whose the pseudonyms are: a CSV of mode 0600, of accounts that are met."
        ),
    ] = None,
    query: Annotated[
        str,
        typer.Option(
            metavar="|".join(SERVERS),
            help="Print the query that exports a server's data as a CSV, and end.",
        ),
    ] = "",
    policy: PolicyDir = None,
    model_dir: ModelDir = None,
    key: Key = None,
    ip_database: IpDatabase = None,
    shards: Shards = 1,
    as_json: Json = False,
    wide: Wide = False,
) -> None:
    """Assess your own data in shadow: who would be met and why, who is hurt, what is missing."""
    if query:
        _print_query(query)
        return
    if not source:
        raise UsageError("EVENTS is missing", fix="give a file, or --query to export one")
    if preset and (columns or types):
        raise UsageError(
            "--preset cannot be combined with --columns or --types",
            fix="drop --preset, or the other two",
        )
    if page.is_dir():
        raise UsageError(f"{page} is a directory", fix="name the page with -o assessment.html")
    from wavebreak import assessment, model, rules
    from wavebreak.assessment.measurement import Options
    from wavebreak.privacy.secret_key import load_key
    from wavebreak.reports.html import write_html
    from wavebreak.reports.report import print_report

    options = Options(
        rules.load_policy(policy),
        model.load_selected(model_dir),
        load_key(key),
        csv=assessment.CsvOptions(
            preset, read_pairs(columns, "--columns"), read_pairs(types, "--types"), unit
        ),
        labels=labels,
        ip_database=ip_database,
        workers=shards,
    )
    with progress_bar("assess") as show:
        show(0.0, "starting")
        assessed, known = assessment.assess(source, options, show)
    write_html(assessment.assessment_report(assessed), page)
    if names:
        _write_names(names, assessed, known)
    brief = assessment.assessment_report(assessed, is_brief=True)
    if as_json:
        print_json(brief.data)
        return
    print_report(brief, out)
    print_next_steps(
        [
            f"the page: {page}",
            *([] if names else [f"whose the pseudonyms are: {_again(source, page)}"]),
        ]
    )


def _again(source: str, page: Path) -> str:
    return command("wavebreak", "assess", source, "-o", page, "--names", "names.csv")


def _print_query(server: str) -> None:
    if server not in SERVERS:
        raise UsageError("--query is unknown", fix=f"choose one of {', '.join(SERVERS)}")
    echo(query_of(server), nl=False)
    if sys.stdout.isatty():
        echo("-- psql -d DATABASE --csv -f QUERY.sql > chats.csv; then wavebreak assess chats.csv",
             err=True)  # fmt: skip


def _write_names(path: Path, assessed: Assessment, known: Any) -> None:
    """Write the names of the accounts that are met, for the eyes of who runs this alone."""
    from wavebreak.csv_files import encode_csv
    from wavebreak.durable_files import replace_file

    shown = {each.account for each in assessed.met}
    shown.update(account for each in assessed.operators for account in each.accounts)
    rows = sorted((pseudonym, name) for pseudonym, name in known.accounts() if pseudonym in shown)
    replace_file(path, encode_csv([("pseudonym", "account"), *rows]).encode(), mode=0o600)
