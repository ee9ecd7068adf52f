"""Commands that decide and measure: run, evaluate, explain, demo.

The engine, SciPy and Matplotlib are imported by the commands that use them, so that `run --help`
stays fast and `run` loads no code of evaluation or simulation.
"""

from __future__ import annotations

import secrets
import sys
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
    styled,
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
    People,
    PolicyDir,
    RunDir,
    RunLabels,
    Seed,
    Shards,
    Wide,
)
from wavebreak.errors import UsageError
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
DEMO_KEY = b"wavebreak demo, no secret"


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


def _run(title: str, source: Path | str, directory: Path, **options: Any) -> dict[str, Any]:
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

    counts = _run(
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
        evaluation.print_tables(measured, out)
    print_next_steps(
        [
            *(
                []
                if labels
                else [command("wavebreak", "evaluate", out_path, "--labels", "LABELS.csv")]
            ),
            command("wavebreak", "explain", out_path, _example_account(out_path) or "ACCOUNT"),
            *([command("wavebreak", "ledger", "verify", ledger)] if ledger else []),
        ]
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


def _example_account(directory: Path) -> str | None:
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

    if labels and len(directories) > 1:
        raise UsageError(
            "--labels names one file for several runs",
            fix="keep each run's labels.csv beside its events, and drop --labels",
        )
    runs = [(run, labels or evaluation.labels_path(run)) for run in directories]
    measured = evaluation.evaluate_all(runs, exclude_family or [])
    if as_json:
        print_json(measured.as_json())
    else:
        evaluation.print_tables(measured, out)
    if html:
        evaluation.write_html(measured, html)
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

    explanation = explain.explain(directory, account)
    page = html or directory / "explain.html"
    explain.write_html(explanation, page)
    if as_json:
        print_json(explain.as_json(explanation))
        return
    explain.print_explanation(explanation, out, full=full)
    print_next_steps([f"timeline: {page}", *([] if full else ["meanings and totals: add --full"])])


@app.command(epilog="Example: `wavebreak demo -o demo-out`")
def demo(
    out_path: OutDir = Path("demo-out"),
    people: People = 2000,
    seed: Seed = 1,
    as_json: Json = False,
    wide: Wide = False,
    console: Annotated[
        bool | None,
        typer.Option(
            "--console/--no-console",
            help="End with the console running on this day (default: at a terminal).",
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the console.")] = 8480,
) -> None:
    """Simulate a day with attack campaigns and benign personas; run, evaluate and explain it."""
    if out_path.is_file():
        raise UsageError(f"{out_path} is a file", fix="give a directory with -o")
    # Before what takes seconds to import: somebody waits for the first line.
    err.print(f"Simulating a day of {people:,} people, with campaigns of abuse (half a minute)")
    from wavebreak import evaluation, explain, model, rules
    from wavebreak.privacy.pseudonymizer import Pseudonymizer

    world_dir, run_dir = out_path / "world", out_path / "run"
    events, accounts = _simulate_demo(people, seed, world_dir)
    err.print(f"Deciding on its {events:,} events, as a service would")
    counts = _run(
        "run",
        world_dir,
        run_dir,
        policy=rules.load_policy(),
        edge=Pseudonymizer(DEMO_KEY),
        enforce=True,
        model=model.load_selected(None),
    )
    err.print("Comparing the decisions with what the simulation knows")
    measured = evaluation.evaluate(run_dir, world_dir / "labels.csv")
    evaluation.write_html(measured, out_path / "evaluation.html")
    if as_json:
        print_json({"summary": counts, "evaluation": measured.as_json()})
        return
    out.print(styled("[bold]1. A simulated day[/]: {:,} events of {:,} accounts", events, accounts))
    out.print(styled("\n[bold]2. Decisions[/]\n"))
    print_run_summary(counts, run_dir)
    out.print(styled("\n[bold]3. Decisions against the labels[/]"))
    evaluation.print_overview(measured, out)
    account = _example_account(run_dir)
    if account:
        out.print(styled("[bold]4. The explanation of one account[/]"))
        explanation = explain.explain(run_dir, account)
        explain.print_summary(explanation, out)
        explain.write_html(explanation, out_path / "explain.html")
    print_next_steps(
        [
            f"every family and persona: {out_path}/evaluation.html",
            *([f"the account's timeline:   {out_path}/explain.html"] if account else []),
            f"every decision:           {run_dir}/decisions.jsonl",
            "next: wavebreak rules list; wavebreak run YOUR-EVENTS.jsonl -o out",
        ]
    )
    if sys.stdin.isatty() and sys.stdout.isatty() if console is None else console:
        _serve_demo(out_path / "service", world_dir, port)


def _serve_demo(home: Path, world_dir: Path, port: int) -> None:
    """Serve the console on the demo's day, with a person of each role; Ctrl-C ends it.

    The day is dated anew, to end within the last one; a service that is there already has it.
    """
    from wavebreak.cli.serve import serve
    from wavebreak.io.readers import events_file
    from wavebreak.service.demo_stream import write_dated

    out.print(styled("\n[bold]5. The console[/], on the same day, dated yesterday and today"))
    profile = next(world_dir.glob("*.profile.json"), None)
    dated = home.parent / "dated" / "events.parquet"
    if not (home.exists() and dated.exists()):
        write_dated(events_file(world_dir), dated, time.time_ns() // 1_000_000)
    serve(home, port=port, enforce=True, profile_file=profile, backfill=dated, console=True)


def _simulate_demo(people: int, seed: int, directory: Path) -> tuple[int, int]:
    """Simulate a day with every campaign and persona; return the counts of events and accounts."""
    from wavebreak import simulation

    with progress_bar("simulate") as show:
        world = simulation.simulate(
            people=people,
            days=1,
            campaigns=[(name, None) for name in simulation.CAMPAIGNS],
            personas=["all"],
            seed=seed,
            progress=lambda share: show(share, ""),
        )
        return simulation.write(world, directory), len(world.labels)
