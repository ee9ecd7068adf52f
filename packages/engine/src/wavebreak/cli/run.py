"""Commands that decide and measure: run, evaluate, explain."""

from __future__ import annotations

import json
import secrets
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from wavebreak import evaluation, ledger, library
from wavebreak.cli import console, options
from wavebreak.cli.app import app
from wavebreak.cli.commands import Output, command
from wavebreak.engine import state_ceiling
from wavebreak.errors import FileError, UsageError
from wavebreak.extras import LazyModule
from wavebreak.outcomes import REFUSING
from wavebreak.reports import html as html_pages

pc, pq = LazyModule("pyarrow.compute"), LazyModule("pyarrow.parquet")
checkpoints = LazyModule("wavebreak.ledger.checkpoints")


def _open_recorder(directory: Path, key: Path | None) -> ledger.DirectoryRecorder:
    """Open the ledger for sealing, and report repairs."""
    recorder = ledger.DirectoryRecorder(
        directory,
        checkpoints.load_or_create_signer(key),
        clock=lambda: time.time_ns() // 10**6,
        salts=secrets.token_bytes,
    )
    for line in recorder.repaired:
        console.out.print(f"{directory}: {line}", style="yellow")
    return recorder


@command(
    app,
    "wavebreak run events.jsonl -o out",
    "wavebreak run world --enforce --labels world/labels.csv -o out",
    "wavebreak run chats.csv --mapping chats.mapping.toml -o out",
    "zcat log.gz | wavebreak run - --profile p.json -o out",
)
def run(
    events: options.Events,
    *,
    out: options.OutDir,
    table: options.TableOptions,
    deciding: options.Deciding,
    enforce: options.Enforce = False,
    shards: options.Shards = 1,
    batch: Annotated[int, typer.Option(min=1, max=1000000, help="Events in a batch.")] = 50_000,
    labels: options.Labels = None,
    profile: Annotated[
        Path | None, "Coverage profile of the stream (default: the one beside EVENTS)."
    ] = None,
    ip_database: options.IpDatabase = None,
    lateness: options.Lateness = 60,
    resume: Annotated[Path | None, "Start from the state in this snapshot."] = None,
    snapshot: Annotated[
        Path | None, "Write a snapshot of the state at the end; the last epoch stays open."
    ] = None,
    ledger: Annotated[
        Path | None, "Seal decisions in this ledger, and receipts of refusals with --enforce."
    ] = None,
    ledger_key: options.LedgerKey = None,
    allow_identifiers: options.AllowIdentifiers = False,
    max_memory: options.MaxMemory = "",
) -> Output:
    """Decide on the events of a file; write decisions, accounts, refusals and a summary."""
    with (
        warnings.catch_warnings(record=True) as warnings_shown,
        console.progress_bar("run") as show,
    ):
        warnings.simplefilter("default")
        result = library.decide(
            deciding.events(table.open(events), ip_database),
            deciding.load_policy(),
            enforce=enforce,
            model=deciding.load_model(),
            out=out,
            allow_identifiers=allow_identifiers,
            progress=show,
            profile_path=profile,
            workers=shards,
            batch=batch,
            lateness_s=lateness,
            resume=resume,
            keep=snapshot,
            ceiling=state_ceiling.parse_ceiling(max_memory, copies=False),
            sealer=_open_recorder(ledger, ledger_key) if ledger else None,
        )
    counts = result.summary()
    if counts["refused"] and counts["refused"] == counts["events"]:
        raise _all_refused(out, counts)
    for warning in warnings_shown:
        console.err.print(str(warning.message), style="yellow")
    value = counts
    parts: list[Any] = [result.report().full]
    steps = [console.command("wavebreak", "explain", out, example_account(out) or "ACCOUNT")]
    if labels:
        evaluation = library.evaluate(result, labels)
        value = counts | {"evaluation": evaluation.to_dict()}
        parts.append(evaluation.full)
    else:
        label_options = [] if _has_labels(out) else ["--labels", "LABELS.csv"]
        steps.insert(0, console.command("wavebreak", "evaluate", out, *label_options))
    if ledger:
        steps.append(console.command("wavebreak", "ledger", "verify", ledger))
    return Output(value, *parts, steps=steps)


def _has_labels(directory: Path) -> bool:
    """Whether `evaluate` finds labels of a run by itself."""
    try:
        return evaluation.labels_path(directory).exists()
    except FileError:
        return False


def _all_refused(directory: Path, counts: dict[str, Any]) -> FileError:
    """Return the error for a run that refused every event: the causes, and a fix."""
    causes = ", ".join(
        f"{cause.replace('_', ' ')} ({count:,})"
        for cause, count in counts["refused_by_cause"].items()
    )
    path = directory / "refused.jsonl"
    with path.open(encoding="utf-8") as lines:
        problem, _, fix = json.loads(next(lines))["message"].partition(" — fix: ")
    return FileError(
        f"all {counts['events']:,} events were refused: {causes}; {problem}",
        fix=f"{fix}; all of them are in {path}; schema: wavebreak/policy/event.schema.json",
    )


def example_account(directory: Path) -> str | None:
    """Return an account to explain: with the worst outcome, and then the most sends."""
    table = pq.read_table(directory / "accounts.parquet", columns=["account", "worst", "sends"])
    for outcome in reversed(REFUSING):
        rows = table.filter(pc.equal(table["worst"], outcome))
        if rows.num_rows:
            account: str = rows.sort_by([("sends", "descending")])["account"][0].as_py()
            return account
    return None


@command(
    app,
    "wavebreak evaluate out --labels world/labels.csv --html evaluation.html",
    "wavebreak evaluate runs/* --exclude-family hijack",
)
def evaluate(
    directories: Annotated[
        list[Path], "Directories that `wavebreak run -o` wrote, counted together."
    ],
    *,
    labels: options.RunLabels = None,
    exclude_family: Annotated[
        Sequence[str], "A family to exclude from all counts; repeat for more."
    ] = (),
    html: options.HtmlPage = None,
) -> Output:
    """Measure decisions against labels: abusive accounts actioned, how soon, and false actions."""
    if labels and len(directories) > 1:
        raise UsageError(
            "--labels names one file for several runs",
            fix="keep each run's labels.csv beside its events, and drop --labels",
        )
    results = [library.Result.open(directory) for directory in directories]
    report = library.evaluate(results, labels, exclude=exclude_family)
    if html:
        html_pages.write_html(report.full, html)
    return Output(
        report.full,
        steps=[f"charts: {html}"] if html else [],
    )


@command(app, "wavebreak explain out a1b2c3 --html why.html", name="explain")
def explain_account(
    directory: options.RunDir,
    account: Annotated[str, "The account's id, as in the events."],
    *,
    html: options.HtmlPage = None,
    full: Annotated[
        bool, "Print the timeline, the meaning of each feature, and all totals too."
    ] = False,
) -> Output:
    """Explain the decisions about an account: what it did, which rules fired, what follows."""
    page = html or directory / "explain.html"
    report = library.Result.open(directory).explain(account)
    html_pages.write_html(report.full, page)
    return Output(
        report.to_dict(),
        report.full if full else report.brief,
        steps=[f"timeline: {page}", *([] if full else ["meanings and totals: add --full"])],
    )
