"""Commands made of the acts on a case, and what the commands of `case` share.

The options of such a command are those that its acts declare (`wavebreak_cases.acts`), with the
ones that its function takes beside them: a key, a policy, an answer.
"""

from __future__ import annotations

import inspect
import re
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from keyword import iskeyword
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from wavebreak.cli.commands import command
from wavebreak.errors import UsageError
from wavebreak.ledger.checkpoints import load_or_create_signer
from wavebreak.privacy.secret_key import load_key
from wavebreak_cases.acts import ACTS
from wavebreak_cases.acts.declaration import REQUIRED, Act, Field, Option, Work
from wavebreak_cases.bundles.workspace import CaseWorkspace, open_workspace
from wavebreak_cases.cases.date_ranges import parse_instant
from wavebreak_cases.cli import cases
from wavebreak_cases.cli.fixes import typed_name

Place = Annotated[Path, typer.Argument(help="The case's directory.")]

By = Annotated[
    str,
    typer.Option(
        envvar="WAVEBREAK_BY", help="Who does this: a person's name.", callback=typed_name
    ),
]
Role = Annotated[str, typer.Option(help="In which role; who signs is counsel.")]
Authority = Annotated[str, typer.Option(help="By what authority.")]
SealKey = Annotated[
    Path | None, typer.Option(help="Key file that seals steps (default: the one of `run`).")
]
Many = list[str] | None
# Types of parameters that are made here, of which no checker knows.
_annotated: Any = Annotated
_enum: Any = StrEnum
_list: Any = list


@contextmanager
def open_case_at(place: Path, key: Path | None, new: str = "") -> Iterator[CaseWorkspace]:
    """Open a case's directory for one command; a new case gets the id `new`."""
    with open_workspace(
        place,
        load_or_create_signer(key),
        lambda: time.time_ns() // 10**6,
        secrets.token_bytes,
        new=new,
    ) as opened:
        yield opened


def run_inputs(policy: Path | None, model_dir: str | None, lateness: int, key: Path | None) -> Any:
    """With what a run was made, as the options of a command say it (`reproduction.RunInputs`)."""
    # The engine takes seconds to import, and few commands read a run.
    from wavebreak import model
    from wavebreak.privacy.pseudonymizer import Pseudonymizer
    from wavebreak_cases.bundles.reproduction import RunInputs

    secret = load_key(key)
    return RunInputs(policy, model.load_selected(model_dir), Pseudonymizer(secret), lateness)


def _key(option: Option, name: str = "") -> str:
    """The name of an option's parameter."""
    key = (option.name or name).lstrip("-").replace("-", "_").lower()
    return f"{key}_" if iskeyword(key) else key


def _parameter(field: Field, option: Option) -> inspect.Parameter:
    """Return the parameter by which a command asks for a field."""
    kinds: dict[str, Any] = {"number": int, "file": Path, "path": Path}
    kind, default = kinds.get(field.kind, str), option.default
    if field.values and option.flag is None:
        kind = _enum("Choice", {value: value for value, _ in field.values})
        default = kind(default) if isinstance(default, str) else default
    if option.flag is not None:
        kind = bool
    if field.kind in ("several", "lines"):
        kind, default = _list[kind], None
    limits: dict[str, Any] = {"min": 1, "max": field.limit} if field.kind == "number" else {}
    if option.name.isupper():
        info = typer.Argument(help=option.help)
    else:
        flag = option.name or f"--{field.name.replace('_', '-')}"
        info = typer.Option(flag, help=option.help, **limits)
    annotation = _annotated[kind | None if default is None else kind, info]
    return _keyword(_key(option, field.name), annotation, default)


def _keyword(name: str, annotation: Any, default: Any = REQUIRED) -> inspect.Parameter:
    if default is REQUIRED:
        default = inspect.Parameter.empty
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )


def act_parameters(command: str) -> dict[str, inspect.Parameter]:
    """Return the parameters that the acts of a command declare, each once."""
    parameters: dict[str, inspect.Parameter] = {}
    for act in acts_of(command):
        for field in act.fields:
            if field.option is not None:
                parameter = _parameter(field, field.option)
                parameters.setdefault(parameter.name, parameter)
        if act.switch is not None:
            annotation = _annotated[bool, typer.Option(act.switch.name, help=act.switch.help)]
            parameters[_key(act.switch)] = _keyword(_key(act.switch), annotation, False)
        if act.why is not None:
            annotation = _annotated[str, typer.Option(help=act.why.help)]
            parameters["why"] = _keyword("why", annotation, act.why.default)
    return parameters


def acts_of(command: str) -> list[Act]:
    """Return the acts that a command does."""
    return [act for act in ACTS.values() if act.command == command]


@dataclass(frozen=True)
class ActCommand:
    """A command of acts as somebody called it: what was given, by the names of parameters."""

    name: str
    given: Mapping[str, Any]

    @property
    def act(self) -> Act:
        """The act that was asked for."""
        acts = acts_of(self.name)
        asked = [act for act in acts if act.asked_by and self.given[act.asked_by]]
        return asked[0] if asked else next(act for act in acts if not act.asked_by)

    @contextmanager
    def open(self) -> Iterator[CaseWorkspace]:
        """Open the case."""
        place: Path = self.given["place"]
        new = place.resolve().name if self.name == "open" else ""
        with open_case_at(place, self.given["seal_key"], new) as opened:
            yield opened

    def do(self, workspace: CaseWorkspace, **more: Any) -> Any:
        """Do the act; `more` are values of its fields, or else of `Work`.

        Raises:
            UsageError: A field of the act that was asked for is not given.
        """
        act = self.act
        work = self.work(workspace, act, **more)
        needed = [f.name for f in act.fields if f.required and f.option and f.kind != "moment"]
        if act.missing and any(work.values[name] in ("", None) for name in needed):
            raise UsageError(act.missing[0], fix=act.missing[1])
        return act.do(work)

    def work(self, workspace: CaseWorkspace, act: Act, **more: Any) -> Work:
        """Return the act as it is done; `more` are values of its fields, or else of `Work`."""
        values = act.complete(self.values(act))
        values |= {name: more.pop(name) for name in list(more) if name in values}
        # Where a field of the act has such a name, as the role of a signer, it is not who acts.
        fields = act_parameters(self.name).keys() - {"why"}
        beside = {key: value for key, value in self.given.items() if key not in fields}
        actor: dict[str, Any] = {
            "by": beside.get("by", ""),
            "role": beside.get("role", "investigator"),
            "why": beside.get("why", ""),
            "host": socket.gethostname(),
            "secret": lambda: load_key(beside.get("key")),
            "policy": beside.get("policy"),
            "authority": beside.get("authority", "not stated"),
        }
        return Work(workspace, values, **actor | more)

    def values(self, act: Act) -> dict[str, Any]:
        """Return the values of an act's fields that a command asks for."""
        values = {}
        for field in act.fields:
            if field.option is not None:
                raw = self.given[_key(field.option, field.name)]
                values[field.name] = _value(field, field.option, raw)
        return values


def _value(field: Field, option: Option, raw: Any) -> Any:
    if option.flag is not None:
        return option.flag[bool(raw)]
    match field.kind:
        case "moment":
            return parse_instant(raw) if raw else None
        case "several":
            return tuple(dict.fromkeys(each.value for each in raw)) if raw else None
        case "lines":
            return tuple(raw or ())
        case "number" | "file" | "path":
            return raw
    return "" if raw is None else str(raw)


def act_command(
    name: str, *, by: Any = inspect.Parameter.empty, role: bool = True, group: typer.Typer = cases
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the command of some acts to `case`; the function is given the call and its own options.

    Args:
        name: The command.
        by: The default of who acts; None where who acts is not asked.
        role: Whether it is asked in which role.
        group: The group of commands.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        own = dict(inspect.signature(function).parameters)
        own.pop(next(iter(own)))
        hints = get_type_hints(function, include_extras=True)
        first = next(act for act in acts_of(name) if act.help)
        place = _annotated[Path, typer.Argument(help=first.place)]
        parameters = {"place": _keyword("place", place)} | act_parameters(name)
        if by is not None:
            parameters["by"] = _keyword("by", By, by)
        parameters |= {key: _keyword(key, hints[key], each.default) for key, each in own.items()}
        if by is not None and role and "role" not in parameters:
            parameters["role"] = _keyword("role", Role, "investigator")
        parameters["seal_key"] = _keyword("seal_key", SealKey, None)

        def run(**given: Any) -> None:
            function(ActCommand(name, given), **{key: given[key] for key in own})

        run.__wrapped__ = function  # type: ignore[attr-defined]
        run.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
        examples = re.findall("`([^`]+)`", first.example)
        command(group, *examples, name=name, help=first.help)(run)
        return function

    return decorate
