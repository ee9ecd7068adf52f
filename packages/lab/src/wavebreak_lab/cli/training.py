"""Commands that train models, test and recalibrate them."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import msgspec
import typer

from wavebreak import model, rules
from wavebreak.cli import options
from wavebreak.cli.app import app, models
from wavebreak.cli.commands import command
from wavebreak.cli.console import command as command_line
from wavebreak.cli.console import out, print_json, print_next_steps, progress_bar
from wavebreak.errors import UsageError
from wavebreak.reports.report import print_report
from wavebreak.reports.tables import print_table
from wavebreak_lab import training
from wavebreak_lab.training import default_model, leave_one_out, platform_store, recalibration
from wavebreak_lab.training.pipeline import REPORT

Runs = Annotated[
    list[Path], typer.Argument(help="What `simulate -o` or `run -o` wrote, or files of events.")
]
Calibrate = Annotated[
    list[Path] | None,
    typer.Option(help="A run used for calibration and thresholds alone; repeat for more."),
]
Tolerated = Annotated[
    float | None,
    typer.Option(help="Highest rate of false actions for each benign scoring point."),
]
Unlabelled = Annotated[bool, typer.Option(help="Treat accounts without a label as benign.")]
Allow = Annotated[
    list[str] | None,
    typer.Option(
        help="A feature that may separate the labels alone (see leakage); repeat for more."
    ),
]
ModelName = Annotated[str, typer.Option(help="The model's name.")]
Workers = Annotated[int, typer.Option(min=1, help="Processes that replay platforms.")]


@command(
    app,
    "wavebreak train worlds/1000 worlds/1001 -o model",
    "wavebreak train out --labels labels.csv --tolerance-ban 0.00001 --seed 7 -o model",
    "wavebreak train week1 week2 --calibrate week3 --name autumn -o model",
)
def train(
    runs: Runs,
    *,
    out_path: options.OutDir,
    labels: options.RunLabels = None,
    calibrate: Calibrate = None,
    name: ModelName = "model",
    seed: options.Seed = 0,
    policy: options.PolicyDir = None,
    tolerance_ban: Tolerated = None,
    tolerance_suspend: Tolerated = None,
    tolerance_restrict: Tolerated = None,
    enforce: options.Enforce = False,
    unlabelled_benign: Unlabelled = False,
    allow: Allow = None,
    as_json: options.Json = False,
    wide: options.Wide = False,
) -> None:
    """Train a calibrated model on labelled runs; write it with its card and drift baseline."""
    settings = training.load_settings(
        policy, ban=tolerance_ban, suspend=tolerance_suspend, restrict=tolerance_restrict
    )
    with progress_bar("train") as show:
        learned, tested = training.train(
            runs,
            out_path,
            rules.load_policy(policy),
            settings,
            name=name,
            seed=seed,
            allow=allow or [],
            labels=labels,
            calibrate=calibrate or [],
            enforce=enforce,
            unlabelled_benign=unlabelled_benign,
            progress=show,
        )
    if as_json:
        print_json(json.loads((out_path / REPORT).read_text("utf-8")))
        return
    print_report(training.training_report(learned, tested), out)
    print_next_steps([
        f"card:  {out_path}/card.html",
        f"next:  {command_line('wavebreak', 'run', 'EVENTS', '--model', out_path, '-o', 'out')}",
    ])  # fmt: skip


@command(
    app,
    "wavebreak train-default --worlds 40 --held 20 --background ../shared/data/traces "
    "--leave-one-out left-out -o packages/engine/src/wavebreak/policy/model",
    name="train-default",
)
def train_default(
    *,
    out_path: options.OutDir,
    worlds: Annotated[int, typer.Option(min=1, help="Random platforms to train on.")] = 80,
    held: Annotated[
        int,
        typer.Option(min=1, help="Further random platforms, for calibration and thresholds alone."),
    ] = 40,
    background: Annotated[
        Path | None,
        typer.Option(help=f"Directory of real traces: {', '.join(default_model.TRACES)}."),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Seed of the first platform; the same seed gives the same bytes.")
    ] = 1000,
    left_out: Annotated[
        Path | None,
        typer.Option(
            "--leave-one-out",
            help="What `model leave-one-out -o` wrote: its tables are put on the card, and its "
            "platforms are used where they are the same.",
        ),
    ] = None,
    policy: options.PolicyDir = None,
    workers: Workers = default_model.WORKERS,
    as_json: options.Json = False,
    wide: options.Wide = False,
) -> None:
    """Train the default model on random simulated platforms and on real traces."""
    settings = training.load_settings(policy)
    with progress_bar("train-default") as show, TemporaryDirectory() as scratch:
        traces = default_model.import_traces(background, Path(scratch)) if background else []
        gathered = None
        if left_out:
            named = default_model.platform_sources(worlds, held, seed, traces, settings.default)
            gathered = platform_store.load_platforms(
                left_out / platform_store.PLATFORMS,
                platform_store.platforms_key(named, policy, settings),
            )
        learned, tested = default_model.train_default_model(
            out_path,
            settings,
            worlds=worlds,
            held=held,
            seed=seed,
            traces=traces,
            policy=policy,
            left_out=leave_one_out.result_tables(
                leave_one_out.load_results(left_out) if left_out else ()
            ),
            gathered=gathered,
            workers=workers,
            progress=show,
        )
    if as_json:
        print_json(json.loads((out_path / REPORT).read_text("utf-8")))
        return
    print_report(training.training_report(learned, tested), out)
    print_next_steps([f"card:  {out_path}/card.html"])


@command(
    models,
    "wavebreak model leave-one-out --worlds 40 --held 20 -o left-out",
    "wavebreak model leave-one-out --only campus --only romance -o left-out",
    name="leave-one-out",
)
def leave_one_out_command(
    *,
    out_path: options.OutDir,
    worlds: Annotated[int, typer.Option(min=1, help="Random platforms to train on.")] = 40,
    held: Annotated[
        int, typer.Option(min=1, help="Further random platforms, for thresholds alone.")
    ] = 20,
    only: Annotated[
        list[str] | None,
        typer.Option(help="A persona or family to leave out (default: each in turn)."),
    ] = None,
    background: Annotated[
        Path | None,
        typer.Option(help=f"Directory of real traces: {', '.join(default_model.TRACES)}."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the first platform.")] = 1000,
    policy: options.PolicyDir = None,
    workers: Workers = default_model.WORKERS,
    as_json: options.Json = False,
    wide: options.Wide = False,
) -> None:
    """Leave every persona and family out of training in turn, and test the default model on it.

    OUT keeps platforms and results: a second call goes on where the first ended. Put OUT beside a
    model with `train-default --leave-one-out OUT`.
    """
    settings = training.load_settings(policy)
    with progress_bar("leave one out") as show, TemporaryDirectory() as scratch:
        traces = default_model.import_traces(background, Path(scratch)) if background else []
        named = default_model.platform_sources(worlds, held, seed, traces, settings.default)
        key = platform_store.platforms_key(named, policy, settings)
        stored = out_path / platform_store.PLATFORMS
        gathered = platform_store.load_platforms(stored, key)
        if gathered is None:
            gathered = default_model.gather_platforms(
                named, policy, settings, lambda s, w: show(0.5 * s, w), workers
            )
            platform_store.save_platforms(gathered, stored, key)
        try:
            results = leave_one_out.leave_one_out(
                gathered,
                settings,
                out_path,
                seed=seed,
                only=only or [],
                progress=lambda s, w: show(0.5 + 0.5 * s, w),
            )
        except KeyError as unknown:
            raise UsageError(
                f"no platform has a persona or family {str(unknown.args[0])[:40]!r}",
                fix="leave --only out to see their names, or simulate more worlds",
            ) from None
    if as_json:
        print_json([msgspec.to_builtins(one) for one in results])
        return
    for table in leave_one_out.result_tables(results):
        print_table(table, out)
    print_next_steps([f"results:  {out_path / leave_one_out.TABLE}"])


@command(
    models,
    "wavebreak model recalibrate out --labels labels.csv -o own",
    "wavebreak model recalibrate week1 --unlabelled-benign -o own",
)
def recalibrate(
    runs: Runs,
    *,
    out_path: options.OutDir,
    base: options.ModelDir = None,
    labels: options.RunLabels = None,
    policy: options.PolicyDir = None,
    unlabelled_benign: Unlabelled = False,
    as_json: options.Json = False,
    wide: options.Wide = False,
) -> None:
    """Find thresholds and probabilities anew on labelled or shadow runs; keep the trees."""
    loaded = model.load_selected(base)
    if loaded is None:
        raise UsageError("there is no model to recalibrate", fix="give --model DIR")
    settings = training.load_settings(policy)
    with progress_bar("recalibrate") as show:
        given = training.collect(
            runs,
            rules.load_policy(policy),
            settings,
            labels=labels,
            unlabelled_benign=unlabelled_benign,
            progress=show,
        )
    made = recalibration.recalibrate(loaded, given, settings)
    recalibration.write_directory(made, out_path)
    if as_json:
        print_json(json.loads((out_path / recalibration.REPORT).read_text("utf-8")))
        return
    print_table(recalibration.result_table(made), out)
    print_next_steps(
        [f"next:  {command_line('wavebreak', 'run', 'EVENTS', '--model', out_path, '-o', 'out')}"]
    )
