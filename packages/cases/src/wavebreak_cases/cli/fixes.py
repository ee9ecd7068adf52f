"""The ways out of errors in words of a command line: by the error's code, what to run or give.

An error of the domain names no command (`WavebreakError.code`); the console links to its forms.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wavebreak.cli.help_pages import CommandHelp
from wavebreak.errors import UsageError, WavebreakError

FIXES: Mapping[str, str] = {
    "other-rules": "determine again: `wavebreak case determine CASE PARTY`",
    "signed-already": "determine again: `wavebreak case determine CASE PARTY`",
    "merged-already": "see `wavebreak case show`",
    "not-merged": "see `wavebreak case show`",
    "task-done": "see `wavebreak case show`",
    "case-closed": "reopen it: `wavebreak case advance CASE reopened`",
    "signer-not-authenticated": (
        "sign with a key (`wavebreak case sign CASE D1 --signing-key FILE`), or signed in to the "
        "console"
    ),
    "other-evidence": "determine again: `wavebreak case determine CASE PARTY`",
    "run-not-redacted": (
        "erase what opens entries on an account: `wavebreak case erase CASE ACCOUNT`"
    ),
    "reason-missing": "give the reason: --why",
    "merge-by-hand": "merge them: `wavebreak case merge CASE KEEP DROP`",
    "other-exhibit": "reject this item and add another: `wavebreak case evidence CASE E1 …`",
    "claim-rejected": (
        "review the page again (`wavebreak claim confirm DIR --reason …`) and take it in as "
        "another exhibit"
    ),
    "no-offer-read": "say why it shows this nevertheless: --why",
    "confirmed-apart": "confirm it: `wavebreak case confirm CASE V1`",
    "not-current": "determine again, and read it: `wavebreak case determine CASE {party}`",
    "party-barred": "record its end once it has ended: `wavebreak case bar CASE P1 … --ended DATE`",
    "may-be-a-minor": (
        "merge them (`wavebreak case merge CASE KEEP DROP`); or, if that party is of age, say so: "
        "`wavebreak case party CASE NAME --id P1 --age adult`"
    ),
    "signer-unknown": "name the person: `wavebreak case signer CASE NAME --role counsel --key …`",
    "party-missing": "name one: `wavebreak case party CASE NAME`",
    "delivery-missing": "record one: `wavebreak case delivery CASE N1 --exhibit E1 --how …`",
    "task-open": "finish it: `wavebreak case task CASE T1 --done`",
    "no-verifier-key": "give what `wavebreak ledger keygen` printed",
    "ends-before-it-begins": "give `--until` at or after `--began`",
    "date-without-basis": "say on what it rests (--date-basis), as in: the invoice of 3 May 2021",
    "not-in-case": "see `wavebreak case show`",
    "nothing-confirmed": "confirm what the notice is to rest on: `wavebreak case confirm CASE V1`",
    "names-left": (
        "redact these exhibits too (`wavebreak case redact`); words of sealed steps cannot be "
        "taken back: once a person has seen them, give --with-names"
    ),
    "notice-without-date": "write another notice, which names a date (--days)",
    "sent-before-dated": (
        "give the date at which it was sent; a letter of an earlier date is recorded without "
        "--letter, as its exhibit holds it"
    ),
    "no-draft-of-a-letter": "give the N1.json that `case notice -o` wrote",
    "nothing-marked": (
        "mark words or regions (--phones, --mails, --identities, --addresses, --name, --text or "
        "--region; without --why the command shows suggestions)"
    ),
    "account-unknown": (
        "give its id as in the events, or its pseudonym as in `wavebreak case show`; with "
        "another deployment's key (--key) the pseudonym is another"
    ),
    "no-openings": "give the ledger that `run --ledger` wrote",
    "sealed-elsewhere": "give the ledger that this run was sealed in: `run --ledger`",
    "decided-otherwise": "give --policy, --model, --key and --lateness as the run had them",
    "no-run": "give the directory that `wavebreak run … -o DIR` wrote",
    "no-case": "open one: `wavebreak case open DIR --title …`",
    "no-case-file": "give a directory that `wavebreak case open` made",
    "account-without-exhibit": "give the page that shows it (--url, --file), or a run (--run)",
    "run-without-accounts": "give them: --account a-17, again for more",
    "tie-not-stated": "give it, with the exhibit that shows it: --account-basis number_in_claim",
    "tie-not-shown": "draft again when a page can be taken in, or use `wavebreak case link`",
    "draft-of-rejected": "leave it out, or review the page again: `wavebreak claim confirm DIR`",
    "draft-of-reviewed": "correct it with the reason: `wavebreak case correct CASE {item} --why …`",
    "no-such-value": "correct it; `wavebreak case draft --help` lists the values",
    "label-without-reason": "give --by and --reason",
    "no-exhibit": "give a directory that `wavebreak claim capture` or `claim add` wrote",
    "mark-not-found": (
        "correct it; where it is in a picture, mark its region (--region 1:100,200,400,260)"
    ),
    "pictures-not-seen": (
        "mark regions (--region 1:100,200,400,260); or say (--pictures-seen) that a person "
        "looked and it shows nothing more to remove"
    ),
    "draft-elsewhere": "use `wavebreak case draft`",
    "name-missing": "give --by NAME",
}
"""By code, the way out; values of the error are in braces."""


def command_fix(error: WavebreakError) -> str:
    """Return the way out of an error, as a command says it.

    >>> command_fix(WavebreakError("it is closed", fix="reopen it", code="case-closed"))
    'reopen it: `wavebreak case advance CASE reopened`'
    >>> command_fix(WavebreakError("the file is empty", fix="give another"))
    'give another'
    """
    fix = FIXES.get(error.code)
    return error.fix if fix is None else fix.format(**error.values)


class CaseCommand(CommandHelp):
    """A command on claims and cases, which says what to run."""

    def invoke(self, ctx: Any) -> Any:
        """Run it; an error that passes gets the way out of a command line."""
        try:
            return super().invoke(ctx)
        except WavebreakError as error:
            error.fix = command_fix(error)
            raise


def typed_name(name: str) -> str:
    """Return a name as typed; who is signed in to the console alone has one that says so."""
    if name.startswith("user:"):
        raise UsageError(
            "`user:` begins the names of people who are signed in to the console",
            fix="give the person's name",
        )
    return name
