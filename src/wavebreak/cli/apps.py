"""The command's tree: one app, and the groups `import`, `rules` and `features`."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from wavebreak import __version__

VERBS = (
    "demo", "run", "evaluate", "explain", "simulate", "import", "profile", "rules", "features",
    "train", "model", "replay", "doctor", "retrain", "arena", "bench", "warm",
)  # fmt: skip
"""In the order in which they are wanted, and listed."""


class _InOrder(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        """Name the verbs as `VERBS` has them; one that it does not have comes last."""
        return sorted(self.commands, key=lambda verb: (*VERBS, verb).index(verb))


app = typer.Typer(
    name="wavebreak",
    cls=_InOrder,
    help="Detect bulk, automated and non-personal messaging from metadata alone, and act on it.",
    epilog="Start with `wavebreak demo`; then `wavebreak run EVENTS -o OUT` on your own events.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
imports = typer.Typer(help="Turn another system's trace into events.", no_args_is_help=True)
rules = typer.Typer(help="Check, list and explain the rules of a policy.", no_args_is_help=True)
features = typer.Typer(help="List and explain what rules may read.", no_args_is_help=True)
app.add_typer(imports, name="import")
app.add_typer(rules, name="rules")
app.add_typer(features, name="features")
models = typer.Typer(help="Show what a model is and where it acts.", no_args_is_help=True)
app.add_typer(models, name="model")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"wavebreak {__version__}")
        raise typer.Exit


@app.callback()
def _wavebreak(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Detect bulk, automated and non-personal messaging from metadata alone, and act on it."""
