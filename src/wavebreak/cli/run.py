"""Verbs that decide and judge: run, evaluate, explain, demo."""

from __future__ import annotations

import json
import secrets
import time
from pathlib import Path
from typing import Annotated, Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import typer

from wavebreak import engine, evaluation, explain, model, rules, simulation
from wavebreak.cli.app import app
from wavebreak.cli.console import bar, nexts, out, pace, summary
from wavebreak.errors import UsageError
from wavebreak.ledger import Sealer
from wavebreak.ledger.checkpoints import own_signer
from wavebreak.privacy.pseudonymizer import Edge, load_key

Labels = Annotated[Path | None, typer.Option(help="CSV: account,label,family,operator.")]
PolicyDir = Annotated[
    Path | None, typer.Option(help="Local rules and actions, over the shipped ones.")
]


ModelDir = Annotated[
    str | None,
    typer.Option("--model", metavar="DIR|none", help="Model to ask, or none (default: the shipped "
                                                     "one, where there is one)."),
]  # fmt: skip
Events = Annotated[
    str,
    typer.Argument(help="Events: .jsonl .json .parquet .arrow (also .gz .zst), a directory "
                        "with one, or - for JSON Lines on standard input."),
]  # fmt: skip
Out = Annotated[Path, typer.Option("--out", "-o", help="Directory to write.")]
Enforce = Annotated[
    bool,
    typer.Option("--enforce/--shadow", help="Drop what decisions would have refused, or only "
                                            "write decisions down."),
]  # fmt: skip
Shards = Annotated[int, typer.Option(min=1, max=64, help="Worker threads.")]
Batch = Annotated[int, typer.Option(min=1, max=1_000_000, help="Events a batch.")]
ProfileFile = Annotated[
    Path | None, typer.Option(help="What the stream carries (default: beside EVENTS).")
]
Key = Annotated[Path | None, typer.Option(help="Key file of the privacy edge (made at first use).")]
IpDatabase = Annotated[
    Path | None, typer.Option(help="MaxMind-format file for AS numbers and countries.")
]
Lateness = Annotated[int, typer.Option(min=0, help="Seconds an event may be late.")]
Resume = Annotated[Path | None, typer.Option(help="Begin with the state of a snapshot.")]
Snapshot = Annotated[
    Path | None, typer.Option(help="Write a snapshot at the end; the last epoch stays open.")
]


LedgerDir = Annotated[
    Path | None, typer.Option("--ledger", help="Seal decisions into this ledger, and receipts with "
                                               "--enforce.")
]  # fmt: skip
LedgerKey = Annotated[
    Path | None, typer.Option(help="Key file that signs checkpoints (made at first use).")
]


def _sealer(ledger: Path | None, key: Path | None) -> Sealer | None:
    if ledger is None:
        return None
    made = Sealer(ledger, own_signer(key), clock=lambda: time.time_ns() // 10**6,
                  salts=secrets.token_bytes)  # fmt: skip
    for line in made.mended:
        out.print(f"{ledger}: {line}", style="yellow")
    return made


def _run(title: str, source: Path | str, directory: Path, **options: Any) -> dict[str, Any]:
    with bar(title) as show:
        return engine.run(source, directory, progress=lambda p: show(p.share, pace(p)), **options)


@app.command(
    epilog="Examples: `wavebreak run events.jsonl -o out`; `wavebreak run world --enforce "
    "--labels world/labels.csv -o out`; `zcat log.gz | wavebreak run - --profile p.json -o out`"
)
def run(
    events: Events, out_path: Out, policy: PolicyDir = None, enforce: Enforce = False,
    shards: Shards = 1, batch: Batch = 50_000, labels: Labels = None, profile: ProfileFile = None,
    key: Key = None, ip_database: IpDatabase = None, lateness: Lateness = 60,
    resume: Resume = None, snapshot: Snapshot = None, model_dir: ModelDir = None,
    ledger: LedgerDir = None, ledger_key: LedgerKey = None,
) -> None:  # fmt: skip
    """Decide on a file of events: writes decisions, accounts, refusals and a summary."""
    told = _run(
        "run", Path(events) if events != "-" else events, out_path, policy=rules.load(policy),
        edge=Edge(load_key(key), ip_database), profile_path=profile, enforce=enforce,
        workers=shards, batch=batch, lateness_s=lateness, resume=resume, keep=snapshot,
        model=model.chosen(model_dir), sealer=_sealer(ledger, ledger_key),
    )  # fmt: skip
    summary(told, out_path)
    if labels:
        evaluation.print_tables(evaluation.evaluate(out_path, labels), out)
    nexts([
        *([] if labels else [f"wavebreak evaluate {out_path} --labels LABELS.csv"]),
        f"wavebreak explain {out_path} {_example(out_path) or 'ACCOUNT'}",
        *([f"wavebreak ledger verify {ledger}"] if ledger else []),
    ])  # fmt: skip


def _example(directory: Path, outcome: str = "") -> str | None:
    """An account worth explaining: among the worst treated, the one with most sends."""
    table = pq.read_table(directory / "accounts.parquet", columns=["account", "worst", "sends"])
    for wanted in [outcome] if outcome else ["ban", "suspend", "restrict", "limit", "challenge"]:
        rows = table.filter(pc.equal(table["worst"], wanted))
        if rows.num_rows:
            best: str = rows.sort_by([("sends", "descending")])["account"][0].as_py()
            return best
    return None


@app.command(
    epilog="Examples: `wavebreak evaluate out --labels world/labels.csv --plot evaluation.html`; "
    "`wavebreak evaluate runs/* --leave-out hijack`"
)
def evaluate(
    directories: Annotated[
        list[Path],
        typer.Argument(help="What `wavebreak run -o` wrote; several are counted together."),
    ],
    labels: Annotated[
        Path | None,
        typer.Option(help="CSV: account,label,family,operator (default: labels.csv beside each "
                          "run's events)."),
    ] = None,
    leave_out: Annotated[
        list[str] | None, typer.Option(help="A family that does not count; again for more.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Write an HTML page with plots.")] = None,
) -> None:  # fmt: skip
    """Measure decisions against labels: who was caught, when, at what cost, and who was not."""
    if labels and len(directories) > 1:
        raise UsageError(
            "one labels file for several runs", fix="keep each run's labels.csv beside its events"
        )
    runs = [(run, labels or evaluation.labels_of(run)) for run in directories]
    found = evaluation.evaluate_all(runs, leave_out or [])
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=1, ensure_ascii=False))
    else:
        evaluation.print_tables(found, out)
    if plot:
        evaluation.write_html(found, plot)
        if not as_json:
            nexts([f"plots: {plot}"])


@app.command("explain", epilog="Example: `wavebreak explain out +972501234567 --html why.html`")
def explain_account(
    directory: Annotated[Path, typer.Argument(help="What `wavebreak run -o` wrote.")],
    account: Annotated[str, typer.Argument(help="The account's id, as in the events.")],
    html: Annotated[
        Path | None, typer.Option(help="Where to write the page with the timeline.")
    ] = None,
) -> None:
    """Tell what happened to an account, in words, numbers and a picture of its timeline."""
    found = explain.explain(directory, account)
    explain.render(found, out)
    page = html or directory / "explain.html"
    explain.write_html(found, page)
    nexts([f"timeline: {page}"])


@app.command(epilog="Example: `wavebreak demo -o demo-out`")
def demo(
    out_path: Out = Path("demo-out"),
    people: Annotated[int, typer.Option(help="Ordinary people.")] = 2000,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 1,
) -> None:  # fmt: skip
    """Show a simulated day with campaigns and innocents: run, evaluate, explain one account."""
    if out_path.is_file():
        raise UsageError(f"{out_path} is a file", fix="give a directory with -o")
    world_dir, run_dir = out_path / "world", out_path / "run"
    with bar("simulate") as show:
        world = simulation.simulate(
            people=people, days=1, campaigns=[(name, None) for name in simulation.CAMPAIGNS],
            personas=["all"], seed=seed, progress=lambda share: show(share, ""),
        )  # fmt: skip
        events = simulation.write(world, world_dir)
    out.print(f"[bold]1. A simulated day[/]: {events:,} events of {len(world.labels):,} accounts")
    told = _run(
        "run", world_dir, run_dir, policy=rules.load(), edge=Edge(b"wavebreak demo, no secret"),
        enforce=True, model=model.chosen(None),
    )  # fmt: skip
    out.print("\n[bold]2. Decisions[/]")
    summary(told, run_dir)
    out.print("\n[bold]3. Against the labels[/]")
    found = evaluation.evaluate(run_dir, world_dir / "labels.csv")
    evaluation.print_tables(found, out)
    evaluation.write_html(found, out_path / "evaluation.html")
    if account := _example(run_dir):
        out.print(f"\n[bold]4. One account, {account}[/]")
        why = explain.explain(run_dir, account)
        explain.render(why, out)
        explain.write_html(why, out_path / "explain.html")
    nexts([
        f"plots:     {out_path}/evaluation.html",
        f"timeline:  {out_path}/explain.html",
        f"decisions: {run_dir}/decisions.jsonl",
        "next:      wavebreak rules list; wavebreak run YOUR-EVENTS.jsonl -o out",
    ])  # fmt: skip
