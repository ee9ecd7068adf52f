"""The command's tree: one app, and the groups `import`, `rules` and `features`."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from wavebreak import __version__

VERBS = {
    "demo": ("run", "Show a simulated day with campaigns and innocents: run, evaluate, "
                         "explain one account."),
    "run": ("run", "Decide on a file of events: writes decisions, accounts, refusals and a "
                        "summary."),
    "evaluate": ("run", "Measure decisions against labels: who was caught, when, at what "
                             "cost, and who was not."),
    "explain": ("run", "Tell what happened to an account, in words, numbers and a picture of "
                            "its timeline."),
    "simulate": ("data", "Make a world of people, campaigns and innocents: events, labels, "
                          "profile."),
    "import": ("data", "Turn another system's trace into events."),
    "profile": ("data", "Learn once what a stream carries, so that what is absent is missing and "
                         "never zero."),
    "rules": ("policy", "Check, list and explain the rules of a policy."),
    "features": ("policy", "List and explain what rules may read."),
    "train": ("training", "Learn a calibrated model from labelled runs: writes the model, its "
                          "card, a drift baseline."),
    "model": ("training", "Show what a model is and where it acts."),
    "replay": ("monitoring", "Say what another policy or model would have changed, account by "
                           "account."),
    "doctor": ("monitoring", "Say how far a stream has moved from what a model was trained on."),
    "arena": ("red_team", "Let every tactic play against the policy, see its answers and adapt; "
                       "count what it costs."),
    "claim": ("claims", "Capture, keep, read and judge public claims about bulk and automated "
                          "messaging."),
    "serve": ("serve", "Serve decisions over HTTP: events in, decisions out, nothing "
                         "acknowledged lost."),
    "key": ("serve", "Make, list, rotate and end keys of the service."),
    "ledger": ("ledger", "Verify a ledger of sealed decisions, and show its entries with proofs."),
    "case": ("cases", "Work on a case: parties, exhibits, evidence, notices, a determination, its "
                       "signature."),
    "bundle": ("cases", "Pack a case into one file that another party can verify without "
                           "trusting us."),
    "verify": ("cases", "Check a bundle: files, seals, custody, and every decision and number "
                           "computed again."),
    "backup": ("serve", "Write the service's database and newest snapshot into one file, while "
                          "it serves."),
    "restore": ("serve", "Fill an empty directory, or an empty database, from a backup."),
    "warm": ("policy", "Compile once what the engine runs, so that the first run starts at once "
                         "(make does this)."),
    "train-default": ("training", "Make the default model: learn from drawn worlds, and from "
                                    "real people's traces."),
}  # fmt: skip
"""Each verb, in the order in which they are wanted, with its module and the first line of its help.

What a verb needs can take seconds to import: only the module of the one that is asked is.
"""


class _Verbs(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        """Name the verbs as `VERBS` has them; one that it does not have comes last."""
        return [*VERBS, *(verb for verb in self.commands if verb not in VERBS)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Give a verb, or what the list of verbs says of it while its module is not wanted."""
        known = self.commands.get(cmd_name)
        if known is not None or cmd_name not in VERBS:
            return known
        return TyperCommand(cmd_name, help=VERBS[cmd_name][1])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the verb that is asked; of one that is not known, all are looked through."""
        self.load(VERBS[args[0]][0] if args and args[0] in VERBS else None)
        return super().resolve_command(ctx, args)

    def load(self, module: str | None = None) -> None:
        """Import a module of verbs, or all."""
        for name in [module] if module else dict.fromkeys(m for m, _ in VERBS.values()):
            import_module(f"wavebreak.cli.{name}")
        made: Any = typer.main.get_command(app)
        self.commands.update(made.commands)


app = typer.Typer(
    name="wavebreak",
    cls=_Verbs,
    help="Detect bulk, automated and non-personal messaging from metadata alone, and act on it.",
    epilog="Start with `wavebreak demo`; then `wavebreak run EVENTS -o OUT` on your own events.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
imports = typer.Typer(help=VERBS["import"][1], no_args_is_help=True)
rules = typer.Typer(help=VERBS["rules"][1], no_args_is_help=True)
features = typer.Typer(help=VERBS["features"][1], no_args_is_help=True)
app.add_typer(imports, name="import")
app.add_typer(rules, name="rules")
app.add_typer(features, name="features")
models = typer.Typer(help=VERBS["model"][1], no_args_is_help=True)
app.add_typer(models, name="model")
ledgers = typer.Typer(help=VERBS["ledger"][1], no_args_is_help=True)
app.add_typer(ledgers, name="ledger")
keys = typer.Typer(help=VERBS["key"][1], no_args_is_help=True)
app.add_typer(keys, name="key")
claim = typer.Typer(help=VERBS["claim"][1], no_args_is_help=True)
app.add_typer(claim, name="claim")
cases = typer.Typer(help=VERBS["case"][1], no_args_is_help=True)
app.add_typer(cases, name="case")


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
