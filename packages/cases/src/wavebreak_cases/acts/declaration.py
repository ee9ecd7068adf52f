"""What an act on a case is: fields with limits and words, a guard, an effect, and who does it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, NamedTuple

from msgspec import UNSET, UnsetType

from wavebreak.errors import CaseError
from wavebreak.extras import LazyModule
from wavebreak_cases.bundles.workspace import CaseWorkspace
from wavebreak_cases.cases.case import Action, Case, Reversal
from wavebreak_cases.cases.signatures import KeySignature

# The readers of pages take a second to import, and few acts need them.
exhibits: Any = LazyModule("wavebreak_cases.claims.exhibits")

MAX_UPLOAD = 1_000_000
"""Bytes of a file that a form takes; larger ones go through the command line. The service refuses
bodies over 1 MiB, and the rest of a form needs some of that."""

REQUIRED = object()
"""The default of an option that has to be given."""

Kind = Literal["text", "area", "lines", "choice", "several", "moment", "number", "file", "path"]
Choices = Sequence[tuple[str, str]]
Values = Mapping[str, Any]


@dataclass(frozen=True)
class Option:
    """How a command asks for a field.

    Attributes:
        help: What the help page says of it.
        name: `--exhibit`, or an argument in capitals: `PARTY` ("": `--` and the field's name).
        default: Its value where it is not given (`REQUIRED`: it has to be).
        flag: Of a switch, the field's values without and with it.
    """

    help: str
    name: str = ""
    default: Any = REQUIRED
    flag: tuple[Any, Any] | None = None


@dataclass(frozen=True)
class Field:
    """A field of an act.

    Attributes:
        label: What a form asks for.
        kind: `text`, `area`, `lines` (a value a line), `choice`, `several` (of the values),
            `moment` (UTC), `number` (1 to `most`), `file`, or `path` (of commands alone).
        hint: What a person should know to fill it in.
        values: What it may be, each with its words, where that is the same in every case.
        choices: What it may be in a case, under a policy.
        section: The heading under which a form has it ("": none).
        option: How a command asks for it (None: only forms do).
        past: Of a moment, whether it may not be in the future.
        pattern: What a text, or each of its lines, has to match.
        fault: A sentence, with `{value}`: what is wrong where it does not, and how it is written.
        most: The longest text in characters (0: as its kind), or the highest number.
    """

    name: str
    label: str = ""
    kind: Kind = "text"
    required: bool = True
    hint: str = ""
    values: Choices = ()
    choices: Callable[[Case, Path | None], Choices] | None = None
    section: str = ""
    option: Option | None = None
    on_form: bool = True
    past: bool = False
    pattern: re.Pattern[str] | None = None
    fault: str = ""
    most: int = 0

    @property
    def limit(self) -> int:
        """The longest text in characters, or the highest number."""
        lengths = {"area": 4_000, "lines": 20_000, "moment": 19, "number": 365}
        return self.most or lengths.get(self.kind, 300)

    @property
    def empty(self) -> Any:
        """The value of a field that was not given."""
        return {"lines": (), "moment": None, "number": None, "file": None, "path": None,
                "several": None}.get(self.kind, "")  # fmt: skip

    def offered(self, case: Case, policy: Path | None) -> Choices:
        """What may be chosen in a case."""
        return self.choices(case, policy) if self.choices else self.values


def _not_here(*_given: object) -> Any:
    raise CaseError(
        "pages and runs are not taken in here",
        fix="take them in by command",
        code="draft-elsewhere",
    )


class Fault(NamedTuple):
    """What is wrong with a field, how it is put right, and the code of that (as of an error)."""

    field: str
    what: str
    fix: str
    code: str = ""


@dataclass(frozen=True)
class Work:
    """An act that is being done: on which case, with what, by whom and why.

    Attributes:
        values: By field, what was given.
        why: The reason.
        host: From which machine.
        secret: Gives the key of pseudonyms.
        policy: Directory of a local policy (None: the shipped one).
        authority: By what authority, of custody.
        names: Further names of who acts.
        session: Where who acts is signed in.
        signature: The signature of a key, of a determination.
        reversals: What elsewhere took back actions against accounts of the case.
        pictures_only: Whether a page is taken in without what it would load.
        capture: Captures an address into a new directory, for an actor of custody.
        run_inputs: Gives with what a run was made (`reproduction.RunInputs`).
        show: Called with the share that is done and what is next.
    """

    workspace: CaseWorkspace
    values: Values
    by: str
    role: str
    why: str
    host: str
    secret: Callable[[], bytes]
    policy: Path | None = None
    authority: str = "not stated"
    names: tuple[str, ...] = ()
    session: Literal["console"] | UnsetType = UNSET
    signature: KeySignature | UnsetType = UNSET
    reversals: Callable[[Case], Sequence[Reversal]] = lambda _case: ()
    pictures_only: bool = False
    capture: Callable[[Any, str, Path], object] = _not_here
    run_inputs: Callable[[], Any] = _not_here
    show: Callable[[float, str], None] = lambda _share, _text: None

    @property
    def case(self) -> Case:
        """The case as it is now."""
        return self.workspace.case

    @property
    def signed(self) -> dict[str, str]:
        """Who acts in which role, and why, as a step says it."""
        return {"by": self.by, "role": self.role, "why": self.why}

    @property
    def actor(self) -> Any:
        """Who acts, as custody says it (`claims.exhibits.Actor`)."""
        authority = self.values.get("authority") or self.authority
        return exhibits.Actor(self.by, self.host, self.why, authority)

    def take(self, did: Action) -> Case:
        """Take one step."""
        return self.workspace.take(did, **self.signed)

    def moment(self, name: str) -> int:
        """The instant of a field; where it is not given, now."""
        at: int | None = self.values[name]
        return self.workspace.clock() if at is None else at


def _no_faults(_case: Case, _values: Values, _now: int | None) -> Iterator[Fault]:
    return iter(())


@dataclass(frozen=True)
class Act:
    """An act on a case.

    Attributes:
        name: Its name, also in the form's address and in the audit log.
        button: What the button of its form says.
        tab: The tab of a case that shows what came of it.
        effect: Does it; returns what a command shows beside the steps.
        steps: The steps that it may take.
        about: A sentence on what follows from it.
        guard: Finds what is wrong with its fields together, at a time (None: whoever takes the
            steps looks at that).
        previewed: Whether a form shows it before it is done.
        ordered: Whether a form is refused where the case changed since it was shown.
        form: Whether the console makes a form of it; else it has a page of its own for it, or none.
        asked_by: Of several acts of one command, the field or switch that asks for this one.
        switch: That switch, where it is no field.
        help: What the command's help page says.
        example: The last lines of that page.
        place: What that page says of the case's directory.
        why: How a command asks for the reason (None: it does not).
        missing: What a command says, with its fix, where one of its fields is not given.
        nothing: What a form says where no step was left to take.
    """

    name: str
    title: str
    button: str
    tab: str
    fields: tuple[Field, ...]
    effect: Callable[[Work], Any]
    steps: tuple[type, ...]
    about: str = ""
    guard: Callable[[Case, Values, int | None], Iterator[Fault]] = _no_faults
    previewed: bool = False
    ordered: bool = True
    form: bool = True
    command: str = ""
    asked_by: str = ""
    switch: Option | None = None
    help: str = ""
    example: str = ""
    place: str = "The case's directory."
    why: Option | None = None
    missing: tuple[str, str] | None = None
    nothing: str = "nothing is left to do"

    def complete(self, given: Values) -> dict[str, Any]:
        """Return a value for each field: those given, and empty ones."""
        return {each.name: given.get(each.name, each.empty) for each in self.fields}

    def do(self, work: Work) -> Any:
        """Do it.

        Raises:
            CaseError: A field is wrong, or the case does not allow the step.
        """
        for fault in self.guard(work.case, work.values, None):
            raise CaseError(fault.what, fix=fault.fix, code=fault.code)
        return self.effect(work)


def violation_choices(values: Choices) -> Choices:
    """Return every set of some values as one choice of a form, after that none is stated.

    >>> violation_choices([("bulk", "bulk"), ("automated", "automated")])[-1]
    ('bulk+automated', 'bulk and automated')
    """
    return [
        ("not_stated", "not stated"),
        *(
            ("+".join(value for value, _ in some), " and ".join(words for _, words in some))
            for count in range(1, len(values) + 1)
            for some in combinations(values, count)
        ),
    ]
