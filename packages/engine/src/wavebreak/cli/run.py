"""Commands that decide and measure: run, evaluate, explain.

The engine, SciPy and Matplotlib are imported by the commands that use them, so that `run --help`
stays fast and `run` loads no code of evaluation.
"""

from __future__ import annotations

import json
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wavebreak.cli.app import app
from wavebreak.cli.console import (
    command,
    err,
    out,
    print_json,
    print_next_steps,
    print_run_summary,
    progress_bar,
    run_progress_text,
)
from wavebreak.cli.options import (
    AllowIdentifiers,
    Enforce,
    Events,
    HtmlPage,
    IpDatabase,
    Json,
    Key,
    Labels,
    Lateness,
    LedgerKey,
    MaxMemory,
    ModelDir,
    OutDir,
    PolicyDir,
    RunDir,
    RunLabels,
    Shards,
    Wide,
)
from wavebreak.errors import FileError, UsageError
from wavebreak.outcomes import REFUSING

if TYPE_CHECKING:
    from wavebreak.ledger import DirectoryRecorder

Batch = Annotated[int, typer.Option(min=1, max=1_000_000, help="Events in a batch.")]
ProfileFile = Annotated[
    Path | None,
    typer.Option(help="Coverage profile of the stream (default: the one beside EVENTS)."),
]
Resume = Annotated[Path | None, typer.Option(help="Start from the state in this snapshot.")]
Snapshot = Annotated[
    Path | None,
    typer.Option(help="Write a snapshot of the state at the end; the last epoch stays open."),
]
LedgerDir = Annotated[
    Path | None,
    typer.Option(
        "--ledger", help="Seal decisions in this ledger, and receipts of refusals with --enforce."
    ),
]


def _open_recorder(ledger: Path | None, key: Path | None) -> DirectoryRecorder | None:
    """Open the ledger for sealing, and report what was repaired."""
    if ledger is None:
        return None
    from wavebreak.ledger import DirectoryRecorder
    from wavebreak.ledger.checkpoints import load_or_create_signer

    recorder = DirectoryRecorder(
        ledger,
        load_or_create_signer(key),
        clock=lambda: time.time_ns() // 10**6,
        salts=secrets.token_bytes,
    )
    for line in recorder.repaired:
        out.print(f"{ledger}: {line}", style="yellow")
    return recorder


def run_engine(title: str, source: Path | str, directory: Path, **options: Any) -> dict[str, Any]:
    """Run the engine with a progress bar, and return the run's summary."""
    from wavebreak import engine

    with progress_bar(title) as show:
        return engine.run(
            source, directory, progress=lambda p: show(p.share, run_progress_text(p)), **options
        )


@app.command(
    epilog="Examples: `wavebreak run events.jsonl -o out`; `wavebreak run world --enforce "
    "--labels world/labels.csv -o out`; `zcat log.gz | wavebreak run - --profile p.json -o out`"
)
def run(
    events: Events,
    out_path: OutDir,
    policy: PolicyDir = None,
    enforce: Enforce = False,
    shards: Shards = 1,
    batch: Batch = 50_000,
    labels: Labels = None,
    profile: ProfileFile = None,
    key: Key = None,
    ip_database: IpDatabase = None,
    lateness: Lateness = 60,
    resume: Resume = None,
    snapshot: Snapshot = None,
    model_dir: ModelDir = None,
    ledger: LedgerDir = None,
    ledger_key: LedgerKey = None,
    allow_identifiers: AllowIdentifiers = False,
    max_memory: MaxMemory = "",
    as_json: Json = False,
    wide: Wide = False,
) -> None:
    """Decide on the events of a file; write decisions, accounts, refusals and a summary."""
    from wavebreak import model, rules
    from wavebreak.engine.state_ceiling import parse_ceiling
    from wavebreak.privacy.pseudonymizer import Pseudonymizer
    from wavebreak.privacy.secret_key import load_key
    from wavebreak.reports.report import print_report

    counts = run_engine(
        "run",
        Path(events) if events != "-" else events,
        out_path,
        policy=rules.load_policy(policy),
        edge=Pseudonymizer(load_key(key), ip_database),
        profile_path=profile,
        enforce=enforce,
        workers=shards,
        batch=batch,
        lateness_s=lateness,
        resume=resume,
        keep=snapshot,
        ceiling=parse_ceiling(max_memory, copies=False),
        model=model.load_selected(model_dir),
        sealer=_open_recorder(ledger, ledger_key),
    )
    if counts["refused"] and counts["refused"] == counts["events"]:
        raise _nothing_accepted(out_path, counts)
    if not allow_identifiers:
        _warn_of_identifiers(out_path)
    measured = None
    if labels:
        from wavebreak import evaluation

        measured = evaluation.evaluate(out_path, labels)
    if as_json:
        print_json(counts | ({"evaluation": measured.as_json()} if measured else {}))
        return
    print_run_summary(counts, out_path)
    if measured:
        print_report(evaluation.evaluation_report(measured), out)
    print_next_steps(
        [
            *(
                []
                if labels
                else [command("wavebreak", "evaluate", out_path, "--labels", "LABELS.csv")]
            ),
            command("wavebreak", "explain", out_path, example_account(out_path) or "ACCOUNT"),
            *([command("wavebreak", "ledger", "verify", ledger)] if ledger else []),
        ]
    )


def _nothing_accepted(directory: Path, counts: dict[str, Any]) -> FileError:
    """Return the error for a run that refused every event: why, and the first with its fix."""
    causes = ", ".join(
        f"{cause.replace('_', ' ')} ({count:,})"
        for cause, count in counts["refused_by_cause"].items()
    )
    refused = directory / "refused.jsonl"
    with refused.open(encoding="utf-8") as lines:
        what, _, fix = json.loads(next(lines))["message"].partition(" — fix: ")
    return FileError(
        f"all {counts['events']:,} events were refused: {causes}; {what}",
        fix=f"{fix}; all of them are in {refused}, and docs/reference/events.md has the contract",
    )


def _warn_of_identifiers(directory: Path) -> None:
    """Warn where accounts have ids that a service would refuse; the run has written them."""
    import pyarrow.parquet as pq

    from wavebreak.reports.tables import count_of
    from wavebreak.schema.identifiers import faulty_rows

    batches = pq.read_table(directory / "accounts.parquet", columns=["account"]).to_batches()
    count = sum(faulty_rows(batch).size for batch in batches)
    if count:
        err.print(
            f"{count_of(count, 'account')} with an id that holds blanks or control characters, or "
            "looks like a phone number, an e-mail address or a URL: the run's files have it as it "
            "is. Replace such ids by keyed hashes, or say --allow-identifiers",
            style="yellow",
        )


def example_account(directory: Path) -> str | None:
    """Return an account worth explaining: with the worst outcome, and of those the most sends."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(directory / "accounts.parquet", columns=["account", "worst", "sends"])
    for outcome in reversed(REFUSING):
        rows = table.filter(pc.equal(table["worst"], outcome))
        if rows.num_rows:
            account: str = rows.sort_by([("sends", "descending")])["account"][0].as_py()
            return account
    return None


@app.command(
    epilog="Examples: `wavebreak evaluate out --labels world/labels.csv --html evaluation.html`; "
    "`wavebreak evaluate runs/* --exclude-family hijack`"
)
def evaluate(
    directories: Annotated[
        list[Path],
        typer.Argument(help="Directories that `wavebreak run -o` wrote, counted together."),
    ],
    labels: RunLabels = None,
    exclude_family: Annotated[
        list[str] | None,
        typer.Option(help="A family to exclude from all counts; repeat for more."),
    ] = None,
    html: HtmlPage = None,
    as_json: Json = False,
    wide: Wide = False,
) -> None:
    """Measure decisions against labels: abusive accounts actioned, how soon, and false actions."""
    from wavebreak import evaluation
    from wavebreak.reports.html import write_html
    from wavebreak.reports.report import print_report

    if labels and len(directories) > 1:
        raise UsageError(
            "--labels names one file for several runs",
            fix="keep each run's labels.csv beside its events, and drop --labels",
        )
    runs = [(run, labels or evaluation.labels_path(run)) for run in directories]
    measured = evaluation.evaluate_all(runs, exclude_family or [])
    report = evaluation.evaluation_report(measured)
    if as_json:
        print_json(report.data)
    else:
        print_report(report, out)
    if html:
        write_html(report, html)
        if not as_json:
            print_next_steps([f"charts: {html}"])


@app.command("explain", epilog="Example: `wavebreak explain out a1b2c3 --html why.html`")
def explain_account(
    directory: RunDir,
    account: Annotated[str, typer.Argument(help="The account's id, as in the events.")],
    html: HtmlPage = None,
    full: Annotated[
        bool,
        typer.Option(
            "--full", help="Print the timeline, the meaning of each feature, and all totals too."
        ),
    ] = False,
    as_json: Json = False,
    wide: Wide = False,
) -> None:
    """Explain the decisions about an account: what it did, which rules fired, what follows."""
    from wavebreak import explain
    from wavebreak.reports.html import write_html
    from wavebreak.reports.report import print_report

    explanation = explain.explain(directory, account)
    page = html or directory / "explain.html"
    report = explain.explanation_report(explanation)
    write_html(report, page)
    if as_json:
        print_json(report.data)
        return
    print_report(report if full else explain.explanation_summary(explanation), out)
    print_next_steps([f"timeline: {page}", *([] if full else ["meanings and totals: add --full"])])
