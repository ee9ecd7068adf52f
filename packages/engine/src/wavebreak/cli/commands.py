"""Commands as functions: a signature declares arguments and options, a docstring the help page.

    @command(ledgers, "wavebreak ledger keygen example.org/log -o log.key")
    def keygen(
        name: Annotated[str, "The log's origin."],
        *,
        out: options.OutFile,
    ) -> None:
        '''Make a key that signs checkpoints; prints the verifier key, which others need.'''

A parameter before `*` is an argument, one after it an option. An annotation carries the help, or a
`typer.Option` with names and bounds. A parameter whose type is a dataclass stands for the options
that are the fields of the dataclass. A command that returns an `Output` has `--json` and `--wide`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from functools import wraps
from typing import Annotated, Any, TypeVar, get_args, get_origin

import typer
from typer.core import TyperCommand

from wavebreak.cli import console, options
from wavebreak.errors import WavebreakError
from wavebreak.reports.report import Report, print_report
from wavebreak.reports.tables import Table, print_table

EXIT_CODES: Mapping[int, str] = {
    0: "success; of a check: everything holds",
    1: "the answer is no: a check failed, or a part of the work did",
    2: "wrong usage, or an error, which is printed with its fix",
    3: "nothing failed, but not everything could be checked",
    4: "everything holds, but under a key that came with the evidence",
    5: "everything holds, in redacted copies",
}
"""The meaning of each exit code, the same for every command."""
FAILED, UNCHECKED, KEY_UNKNOWN = 1, 3, 4

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])
_make_annotated: Any = Annotated
_make_list: Any = list


class Output:
    """The result of a command.

    Attributes:
        value: Printed by `--json`. Of a report its data, and the report is the first part.
        parts: Printed otherwise: reports, tables, texts, or functions that print to a console.
        steps: Next steps, printed last.
        note: Printed on standard error after the output, also with `--json`.
        code: The exit code.
        error: Raised after the output.
    """

    def __init__(
        self,
        value: Any,
        *parts: Any,
        steps: Sequence[str] = (),
        note: str = "",
        code: int = 0,
        error: WavebreakError | None = None,
    ) -> None:
        is_report = isinstance(value, Report)
        self.value = value.data if is_report else value
        self.parts, self.steps = ((value, *parts) if is_report else parts), steps
        self.note, self.code, self.error = note, code, error

    def show(self) -> None:
        """Print the parts and the next steps."""
        for part in self.parts:
            if isinstance(part, Report):
                print_report(part, console.out)
            elif isinstance(part, Table):
                print_table(part, console.out)
            elif callable(part):
                part(console.out)
            else:
                console.out.print(part)
        if self.steps:
            console.print_next_steps([*self.steps])


def command(
    group: typer.Typer,
    *examples: str,
    name: str = "",
    help: str = "",
    parameters: Sequence[inspect.Parameter] = (),
    cls: type[TyperCommand] | None = None,
) -> Callable[[FunctionT], FunctionT]:
    """Return a decorator that adds a function as a command.

    Args:
        group: The group of the command.
        examples: Command lines for its help page.
        name: The name (default: the function's, with hyphens).
        help: The help (default: the function's docstring).
        parameters: Further parameters, which the function takes by `**`.
        cls: The class of the help page (default: the group's).
    """

    def decorate(function: FunctionT) -> FunctionT:
        signature = inspect.signature(function, eval_str=True)
        function_parameters = [
            p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD
        ]
        structs: dict[str, Any] = {
            p.name: p.annotation for p in function_parameters if is_dataclass(p.annotation)
        }
        has_output = signature.return_annotation in (Output, Output | None)
        typer_parameters = [
            _typer_parameter(field)
            for parameter in (*function_parameters, *parameters)
            for field in (_fields(structs[parameter.name]) if parameter.name in structs
                         else [parameter])
        ]  # fmt: skip
        typer_parameters += _fields(options.OutputOptions) if has_output else []

        @wraps(function)
        def run(**given: Any) -> None:
            as_json = has_output and (given.pop("as_json"), given.pop("wide"))[0]
            for parameter, struct in structs.items():
                given[parameter] = struct(**{f.name: given.pop(f.name) for f in _fields(struct)})
            arguments = [
                given.pop(p.name) for p in function_parameters if p.kind is p.POSITIONAL_OR_KEYWORD
            ]
            output = function(*arguments, **given)
            if isinstance(output, Output):
                console.print_json(output.value) if as_json else output.show()
                if output.note:
                    console.err.print(output.note)
                if output.error is not None:
                    raise output.error
                if output.code:
                    raise typer.Exit(output.code)

        run.__signature__ = inspect.Signature(typer_parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in typer_parameters}
        run.__doc__ = help or function.__doc__
        # Without a class of its own, a group's default holds, which None would replace.
        own_class: dict[str, Any] = {"cls": cls} if cls else {}
        group.command(
            name or function.__name__.strip("_").replace("_", "-"),
            **own_class,
            epilog=f"Example{'s'[: len(examples) - 1]}: " + "; ".join(f"`{e}`" for e in examples),
        )(run)
        return function

    return decorate


def _fields(struct: Any) -> list[inspect.Parameter]:
    """Return the fields of a dataclass as options."""
    fields = inspect.signature(struct, eval_str=True).parameters.values()
    return [f.replace(kind=f.KEYWORD_ONLY) for f in fields]


def _typer_parameter(parameter: inspect.Parameter) -> inspect.Parameter:
    """Return a parameter in Typer's form."""
    kind, info = parameter.annotation, ""
    if get_origin(kind) is Annotated:
        kind, info = get_args(kind)
    if get_origin(kind) is Sequence:
        kind = _make_list[get_args(kind)[0]]
    if isinstance(info, str):
        is_flag = kind is bool and parameter.default is False
        names = [f"--{parameter.name.replace('_', '-')}"] if is_flag else []
        is_argument = parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        info = typer.Argument(help=info) if is_argument else typer.Option(*names, help=info)
    return parameter.replace(kind=parameter.KEYWORD_ONLY, annotation=_make_annotated[kind, info])


def leaf_commands(commands: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the commands of groups, each with the full name."""
    for name, member in commands.items():
        if hasattr(member, "commands"):
            yield from leaf_commands(member.commands, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", member
