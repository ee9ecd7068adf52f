"""Commands `case erase` and `case redact`: personal data in a case."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wavebreak.cli.console import out, print_json
from wavebreak.cli.options import Json, Key, Wide
from wavebreak.errors import UsageError
from wavebreak.reports.tables import Table, print_table
from wavebreak_cases.cli import cases
from wavebreak_cases.cli.case_options import Authority, By, Many, Place, Role, SealKey, open_case_at

if TYPE_CHECKING:
    from wavebreak_cases.claims.redaction import Suggestion


@cases.command(
    epilog="Examples: `wavebreak case erase cases/C-7 +972501234567 --why 'request of 3 May' --by "
    "Noa`; `wavebreak case erase cases/C-7 a-27317357c7601754229b25ba --why 'request 12' --by Noa`"
)
def erase(
    place: Place,
    account: Annotated[
        str, typer.Argument(help="The account: its id as in the events, or its pseudonym.")
    ],
    by: By,
    why: Annotated[str, typer.Option(help="Why: the request that it answers.")],
    ledger: Annotated[
        Path | None, typer.Option(help="Erase in this ledger of a run too; needs the own id.")
    ] = None,
    key: Key = None,
    role: Role = "investigator",
    seal_key: SealKey = None,
) -> None:
    """Erase what opens the sealed entries on an account; say what was found and what remains.

    Steps and exhibits are evidence under the pseudonym, and remain. The step that records the
    erasure is named by later determinations and by the report.
    """
    from wavebreak.privacy.secret_key import load_key
    from wavebreak_cases.bundles import account_erasure

    with open_case_at(place, seal_key) as at:
        done = account_erasure.erase_account(
            at, load_key(key), account, by=by, role=role, why=why, ledger=ledger
        )
        case = at.case
    said = account_erasure.describe_erasure(done.found)
    widest = max(len(name) for name, _ in said)
    out.print("found", style="bold")
    for name, value in said:
        out.print(f"  {name:<{widest}}  {value}")
    if not done.recorded:
        out.print("nothing was erased: no sealed entry on the account can be opened any more")
        return
    numbers = ", ".join(map(str, done.entries)) or "none"
    out.print(f"can no longer be opened: entries {numbers} of the case's ledger")
    if ledger:
        out.print(f"and {done.found.elsewhere:,} entries of {ledger}")
    out.print("remains, under the pseudonym: the steps of the case, and the events in its exhibits")
    last = case.steps[-1]
    out.print(f"{case.id}, step {last.n}: openings erased; determine and pack again")


@cases.command(
    epilog="Examples: `wavebreak case redact cases/C-7 E3 --name 'Dana Levi'` suggests; `wavebreak "
    "case redact cases/C-7 E3 --phones --mails --name 'Dana Levi' --region 2:100,200,400,260 --why "
    "'a customer, no party' --by Noa` redacts"
)
def redact(
    place: Place,
    exhibit: Annotated[str, typer.Argument(help="The exhibit: E3.")],
    by: By = "",
    why: Annotated[str, typer.Option(help="Why it is redacted.")] = "",
    phones: Annotated[
        bool, typer.Option("--phones", help="Remove every phone number suggested.")
    ] = False,
    mails: Annotated[bool, typer.Option("--mails", help="Remove every mail suggested.")] = False,
    name: Annotated[Many, typer.Option(help="Remove this name; again for more.")] = None,
    text: Annotated[Many, typer.Option(help="Remove these words; again for more.")] = None,
    region: Annotated[
        Many,
        typer.Option(
            help="Remove a region: PAGE:LEFT,TOP,RIGHT,BOTTOM in thousandths of the page."
        ),
    ] = None,
    keep: Annotated[Many, typer.Option(help="Do not remove this suggestion.")] = None,
    pictures_seen: Annotated[
        bool,
        typer.Option(
            "--pictures-seen",
            help="A person looked: pictures, and pages without text, show nothing more to remove.",
        ),
    ] = False,
    authority: Authority = "not stated",
    role: Role = "investigator",
    seal_key: SealKey = None,
    as_json: Json = False,
    wide: Wide = False,
) -> None:
    """Suggest personal data in an exhibit; or, with a reason, put a redacted copy in its place.

    The copy is made anew: of a page its words, of a picture its pixels, of a PDF a picture of each
    page. Report and bundle hold the copy; the original remains in the case's directory, and its
    digest stays sealed. Words are removed wherever they are, as whole words in any case.
    """
    from wavebreak_cases.bundles import exhibit_redaction
    from wavebreak_cases.claims.exhibits import Actor

    with open_case_at(place, seal_key) as at:
        suggested = exhibit_redaction.suggest_marks(at, exhibit, name or ())
        marks = exhibit_redaction.make_marks(
            suggested,
            kinds=[kind for kind, wanted in (("phone", phones), ("mail", mails)) if wanted],
            names=name or (),
            texts=text or (),
            regions=region or (),
            keep=keep or (),
            pictures_seen=pictures_seen,
        )
        if not why:
            if as_json:
                print_json([each._asdict() for each in suggested])
            else:
                _print_suggestions(suggested)
            return
        if not by:
            raise UsageError("who redacts is not stated", fix="give --by NAME")
        actor = Actor(by, socket.gethostname(), why, authority)
        done = exhibit_redaction.redact_exhibit(at, exhibit, marks, actor, role)
        step, guessable = at.case.steps[-1].n, exhibit_redaction.is_guessable(at.case, exhibit)
        case_id, naming = at.case.id, exhibit_redaction.steps_that_name(at.case.steps, marks)
    said = exhibit_redaction.describe_removed(done)
    out.print(f"{case_id}, step {step}: {exhibit} redacted, {said}")
    out.print(f"  {place / done.path}")
    if naming:
        numbers = ", ".join(map(str, naming))
        out.print(f"  steps are not redacted: {numbers} name it (titles, reasons, bases of dates)")
    if guessable:
        out.print(
            "  an earlier version took the original in: whoever has the bundle can test guesses at "
            "a short text against its sealed digest; take it in again as another exhibit"
        )


def _print_suggestions(suggested: list[Suggestion]) -> None:
    rows = [(each.what, each.text, str(each.times)) for each in suggested]
    if rows:
        print_table(Table("may be personal data", ("what", "words", "times"), rows), out)
    else:
        out.print("nothing was found in its text; a picture is not searched")
    out.print("nothing was redacted: mark what a person decides, and give --by and --why")
