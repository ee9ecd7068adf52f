"""Options and arguments that several commands share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from wavebreak.cli.console import widen
from wavebreak.errors import UsageError
from wavebreak.extras import LazyModule
from wavebreak.privacy import pseudonymizer, secret_key

if TYPE_CHECKING:
    from wavebreak import io, library, rules
    from wavebreak import model as scores
    from wavebreak.io import mapping as mappings
    from wavebreak.io.sources import Choose
else:  # they bring the kernel's libraries, which a help page does not need
    scores, rules = LazyModule("wavebreak.model"), LazyModule("wavebreak.rules")
    io = LazyModule("wavebreak.io")
    library = LazyModule("wavebreak.library")
    mappings = LazyModule("wavebreak.io.mapping")


Events = Annotated[
    str,
    "Events (.jsonl .json .parquet .arrow, also .gz .zst), a directory with one, a table, "
    "`example`, or - for JSON Lines on standard input.",
]
RuleId = Annotated[str, "The rule's id, as `rules list` prints it."]
RunDir = Annotated[Path, "Directory that `wavebreak run -o` wrote."]
OutDir = Annotated[Path, typer.Option("--out", "-o", help="Directory to write.")]
OutFile = Annotated[Path, typer.Option("--out", "-o", help="File to write.")]
Labels = Annotated[Path | None, "CSV: account,label,family,operator."]
RunLabels = Annotated[
    Path | None,
    "CSV: account,label,family,operator[,source,ts] (default: labels.csv beside each "
    "run's events).",
]
PolicyDir = Annotated[
    Path | None,
    "Directory of local rules and actions that extend the shipped.",
]
ModelDir = Annotated[
    str | None,
    typer.Option(
        "--model", metavar="DIR|none", help="Model directory, or none (default: none, rules alone)."
    ),
]
Key = Annotated[Path | None, "Key file for pseudonyms (created at first use)."]
LedgerKey = Annotated[
    Path | None,
    "Key file (mode 0600) that signs checkpoints (created at first use).",
]
KeyHistory = Annotated[
    Path | None,
    "The log's key history (`ledger rotate` writes it): keys before and after --key.",
]
IpDatabase = Annotated[Path | None, "MaxMind-format file for AS numbers and countries."]
Enforce = Annotated[
    bool,
    typer.Option(
        "--enforce/--shadow",
        help="Drop the events that decisions refuse, or only record decisions.",
    ),
]
Browser = Annotated[Path | None, "Chromium's executable (default: looked for)."]
NoBrowser = Annotated[bool, "No screenshot."]
AllowPrivate = Annotated[bool, "Also addresses that are not public."]
AllowIdentifiers = Annotated[
    bool,
    "Take ids that look like phone numbers, e-mail addresses, URLs or text, and store "
    "them as they are.",
]
Shards = Annotated[int, typer.Option(min=1, max=64, help="Worker threads.")]
Lateness = Annotated[int, typer.Option(min=0, help="Seconds that an event may be late.")]
MaxMemory = Annotated[
    str,
    typer.Option(
        "--max-memory",
        metavar="SIZE",
        envvar="WAVEBREAK_MAX_MEMORY",
        help="Memory that the process may use, as 4GiB (default: three quarters of the machine's).",
    ),
]
Seed = Annotated[int, "Seed; the same inputs and seed give the same bytes."]
People = Annotated[int, "Ordinary people."]


def read_database_url(ctx: typer.Context, param: typer.CallbackParam, value: str) -> str:
    """Return the database's URL; a value that is no URL names a file with the URL.

    Raises:
        UsageError: The URL was given on the command line with a password, which everybody on the
            machine can then read in the list of processes.
    """
    if not value or ctx.resilient_parsing:
        return value
    if "://" not in value:
        return secret_key.read_secret_file(Path(value), "file of the database URL")
    source = ctx.get_parameter_source(param.name or "")
    if source is not None and source.name == "COMMANDLINE":
        refuse_visible_password(value)
    return value


def refuse_visible_password(
    url: str, flag: str = "--database-file", variable: str = "WAVEBREAK_DATABASE"
) -> None:
    """Raise UsageError for a URL of the command line that holds a password.

    Args:
        url: The URL.
        flag: The flag that takes a file with the URL.
        variable: The variable of the environment that may hold the URL.
    """
    if _has_password(url):
        raise UsageError(
            "the URL on the command line holds a password, which the list of processes shows",
            fix=f"write the URL to a file of mode 0600 and give {flag} FILE, or set {variable}",
        )


def _has_password(url: str) -> bool:
    try:
        return bool(urlsplit(url).password)
    except ValueError:
        return True


DatabaseUrl = Annotated[
    str,
    typer.Option(
        "--database",
        "--database-file",
        metavar="URL|FILE",
        envvar="WAVEBREAK_DATABASE",
        callback=read_database_url,
        help="postgresql://USER@HOST/NAME, or a file (mode 0600) with the URL and its password "
        "(default: SQLite in HOME).",
    ),
]
HtmlPage = Annotated[Path | None, "Write an HTML page with charts."]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
Wide = Annotated[
    bool,
    typer.Option("--wide", callback=widen, help="Print tables at full width, without wrapping."),
]


@dataclass(frozen=True)
class OutputOptions:
    """The options of every command that returns an `Output`."""

    as_json: Json = False
    wide: Wide = False


def read_pairs(text: str, option: str) -> dict[str, str]:
    """Parse `a=b,c=d`.

    >>> read_pairs("ts=time,account=from", "--columns")
    {'ts': 'time', 'account': 'from'}
    """
    pairs = {}
    for part in filter(None, text.split(",")):
        name, equals, value = part.partition("=")
        if not (equals and name and value):
            raise UsageError(f"{option} is not well formed", fix="write it as name=name,name=name")
        pairs[name.strip()] = value.strip()
    return pairs


@dataclass(frozen=True)
class TableOptions:
    """The options that say how a table is read."""

    mapping: Annotated[
        Path | None, "How a table is read (TOML; default: NAME.mapping.toml beside it)."
    ] = None
    columns: Annotated[
        str, "Event fields and the table's headings: ts=time,account=from,peer=to."
    ] = ""
    types: Annotated[
        str, "The table's words and event types: sms=message.sent,join=group.joined."
    ] = ""
    type: Annotated[str, "Event type of all rows, as call.started (default: message.sent)."] = ""
    time: Annotated[
        str,
        "What the table's times are: s, ms, us, ns, iso, mail, or a form such as '%d/%m/%Y %H:%M'.",
    ] = ""
    zone: Annotated[str, "Zone of times without one: Asia/Jerusalem, +02:00, UTC."] = ""
    country: Annotated[str, "Country of phone numbers without a code, such as IL."] = ""

    def open(self, source: str | Path, choose: Choose | None = None) -> io.Source:
        """Return the events, or the table, that a name means.

        Args:
            source: The argument of the command.
            choose: Settles a guessed mapping that is not certain (None: it is an error).
        """
        declarations = {
            "columns": read_pairs(self.columns, "--columns"),
            "types": read_pairs(self.types, "--types"),
            "type": self.type,
            "time": self.time,
            "zone": self.zone,
            "country": self.country,
        }
        if self.mapping and any(declarations.values()):
            raise UsageError(
                "--mapping cannot be combined with --columns, --types, --type, --time, --zone or "
                "--country",
                fix="write them into the mapping, or drop it",
            )
        mapping = mappings.load_mapping(self.mapping) if self.mapping else None
        return io.open_source(source, mapping, declarations, choose)


@dataclass(frozen=True)
class Deciding:
    """The options of decisions: policy, model, and the key of pseudonyms."""

    policy: PolicyDir = None
    model: ModelDir = None
    key: Key = None

    def load_policy(self) -> rules.Policy:
        """Load the policy."""
        return rules.load_policy(self.policy)

    def load_model(self) -> scores.Model | None:
        """Load the model; None for none."""
        return scores.load_selected(self.model)

    def edge(self, ip_database: Path | None = None) -> pseudonymizer.Pseudonymizer:
        """Return the pseudonymizer with the key."""
        return pseudonymizer.Pseudonymizer(secret_key.load_key(self.key), ip_database)

    def events(self, source: io.Source, ip_database: Path | None = None) -> library.Events:
        """Return events to decide on, with the key."""
        return library.Events(source, secret_key.load_key(self.key), ip_database)
