"""Configuration of the service: every option declared once, and where its value comes from.

Each option is a field of a group below: its type and bounds, its default, and what a reader needs
to know. The keys of the file, the variables of the environment, the flags of `wavebreak serve`, the
reference and the sample file follow from it. A flag comes before the environment, the environment
before the file, the file before the default.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
from msgspec import Meta, Struct, field

from wavebreak.engine.outside_lists import MODES, ListTerms
from wavebreak.engine.state_ceiling import parse_size
from wavebreak.errors import UsageError
from wavebreak.io.log_rows import parse_topic_url
from wavebreak.privacy.secret_key import read_secret_file
from wavebreak_server import settings

MEBIBYTE = 1 << 20
JOB_NAME = r"[A-Za-z0-9._-]{1,100}"
LIST_NAME = r"[a-z0-9._-]{1,64}"


@dataclass(frozen=True)
class Option:
    """What a reader needs to know of an option, beside its type and default.

    Attributes:
        help: What it does. The first sentence stands alone in the short help.
        common: Whether the short help of `wavebreak serve` describes it.
        metavar: What stands for its value in help pages.
        unset: What holds where it has no value.
        example: A value for the sample file and for errors, where there is no default.
        flags: Its flags, where these are not made of its name.
        off: The flag that says no.
        confidential: "key" for the file of a key, whose variable may hold the key; "url" for a
            URL that may hold a password.
        flag_only: Whether it is for one start, so that neither file nor environment may hold it.
        is_path: Tells whether a text is a path; for options that also take something else.
        check: Raises UsageError for a text that has no meaning.
    """

    help: str
    common: bool = False
    metavar: str = ""
    unset: str = ""
    example: str = ""
    flags: tuple[str, ...] = ()
    off: str = ""
    confidential: Literal["", "key", "url"] = ""
    flag_only: bool = False
    is_path: Callable[[str], bool] | None = None
    check: Callable[[str], object] | None = None


class Group(Struct, frozen=True, kw_only=True):
    """A group of options, which is a table of the file."""


class Listening(Group, frozen=True, kw_only=True):
    """Where the service listens, and what stands in front of it."""

    host: Annotated[str, Option("Address to listen on.", common=True, metavar="ADDRESS")] = (
        settings.Settings.host
    )
    port: Annotated[
        int, Meta(ge=0, le=65535), Option("Port to listen on (0: any that is free).", common=True)
    ] = settings.Settings.port
    trusted_proxies: Annotated[
        int, Meta(ge=0, le=8), Option("Proxies in front that set X-Forwarded-For.")
    ] = 0


class Decisions(Group, frozen=True, kw_only=True):
    """What decides, on which stream, and with how many processes."""

    policy: Annotated[
        Path | None,
        Option(
            "Directory of local rules and actions.",
            common=True,
            metavar="DIR",
            unset="the shipped policy",
            example="/etc/wavebreak/policy",
        ),
    ] = None
    enforce: Annotated[
        bool,
        Option(
            "Refuse what decisions refuse, or only record it.",
            common=True,
            off="--shadow",
            unset="shadow",
        ),
    ] = settings.Settings.enforce
    profile: Annotated[
        Path | None,
        Option(
            "Coverage profile of the stream. `wavebreak profile` writes one.",
            common=True,
            metavar="FILE",
            unset="every event and field",
            example="/etc/wavebreak/profile.json",
        ),
    ] = None
    model: Annotated[
        str | None,
        Option(
            "Model directory, or none.",
            metavar="DIR|none",
            unset="none, rules alone",
            example="/etc/wavebreak/model",
            is_path=lambda text: text != "none",
        ),
    ] = None
    ip_database: Annotated[
        Path | None,
        Option(
            "MaxMind-format file for AS numbers and countries.",
            metavar="FILE",
            unset="neither is known",
            example="/var/lib/geoip/GeoLite2-ASN.mmdb",
        ),
    ] = None
    lateness: Annotated[
        int, Meta(ge=0), Option("Seconds that an event may be late.", metavar="SECONDS")
    ] = 60
    allow_identifiers: Annotated[
        bool,
        Option(
            "Take ids that look like phone numbers, e-mail addresses, URLs or text, and store "
            "them as they are.",
            unset="they are refused",
        ),
    ] = settings.Settings.allow_identifiers
    flink_job: Annotated[
        str,
        Meta(pattern=f"^({JOB_NAME})?$"),
        Option(
            "Job on Flink that decides over this service's log, by the name of its directory. The "
            "service then holds no engine, and answers from what the job publishes.",
            metavar="NAME",
            unset="the service's own engine decides",
            example="job",
        ),
    ] = settings.Settings.flink_job
    shards: Annotated[int, Meta(ge=1, le=64), Option("Worker threads of the engine.")] = (
        settings.Settings.workers
    )
    decoders: Annotated[int, Meta(ge=1, le=16), Option("Processes that decode requests.")] = (
        settings.Settings.decoders
    )


class Keys(Group, frozen=True, kw_only=True):
    """Files of keys, of mode 0600; each is created at first use."""

    key: Annotated[
        Path | None,
        Option(
            "Key file for pseudonyms.",
            metavar="FILE",
            unset="~/.config/wavebreak/key",
            example="/etc/wavebreak/key",
            confidential="key",
        ),
    ] = None
    ledger_key: Annotated[
        Path | None,
        Option(
            "Key file that signs checkpoints of the ledger.",
            metavar="FILE",
            unset="~/.config/wavebreak/ledger.key",
            example="/etc/wavebreak/ledger.key",
            confidential="key",
        ),
    ] = None
    webhook_key: Annotated[
        Path | None,
        Option(
            "Key file of the secrets of webhooks.",
            metavar="FILE",
            unset="HOME/webhook.key",
            example="/etc/wavebreak/webhook.key",
            confidential="key",
        ),
    ] = None


def is_file_of_url(text: str) -> bool:
    """Whether a text is the path of a file that holds a URL, and not the URL."""
    return "://" not in text


def check_log(text: str) -> None:
    """Raise UsageError for a URL of the log's topic that is malformed."""
    if not is_file_of_url(text):
        parse_topic_url(text)


class Storage(Group, frozen=True, kw_only=True):
    """The database, the log, and snapshots of the engine's state."""

    database: Annotated[
        str,
        Option(
            "postgresql:// URL, or a file with one. A URL with a password is in a file of mode "
            "0600.",
            common=True,
            metavar="URL|FILE",
            unset="SQLite in HOME",
            example="postgresql://wavebreak@db.example.org/wavebreak",
            flags=("--database", "--database-file"),
            confidential="url",
            is_path=is_file_of_url,
        ),
    ] = settings.Settings.database
    log: Annotated[
        str,
        Option(
            "kafka:// URL of the topic that holds the bodies of the log, or a file with one. A URL "
            "with a password is in a file of mode 0600.",
            metavar="URL|FILE",
            unset="the database holds them",
            example="kafka://broker.example.org:9092/wavebreak-log",
            confidential="url",
            is_path=is_file_of_url,
            check=check_log,
        ),
    ] = ""
    snapshot_seconds: Annotated[
        float,
        Meta(ge=0.1),
        Option("Longest time between snapshots of the engine's state.", metavar="SECONDS"),
    ] = settings.Settings.snapshot_s

    def database_url(self) -> str:
        """Return the URL of the database, which a file may hold; "" for SQLite in HOME.

        >>> Storage().database_url(), Storage(database="postgresql://me@db/x").database_url()
        ('', 'postgresql://me@db/x')
        """
        return _url_of(self.database, "file of the database URL")

    def log_url(self) -> str:
        """Return the URL of the log's topic, which a file may hold; "" for none.

        >>> Storage().log_url(), Storage(log="kafka://broker:9092/log").log_url()
        ('', 'kafka://broker:9092/log')
        """
        return _url_of(self.log, "file of the URL of the log's topic")


def _url_of(text: str, what: str) -> str:
    """Return a URL, or what a file of this description holds."""
    return read_secret_file(Path(text), what) if text and is_file_of_url(text) else text


def parse_lists(text: str) -> dict[str, ListTerms]:
    """Return the terms of each list that the option `lists` names; raises UsageError.

    >>> parse_lists("cme=delay rtbl=observe,https://xmppbl.org")["rtbl"].keeper
    'https://xmppbl.org'
    """
    lists: dict[str, ListTerms] = {}
    for word in text.split():
        name, _, terms = word.partition("=")
        mode, _, keeper = terms.partition(",")
        if not re.fullmatch(LIST_NAME, name) or mode not in MODES:
            raise UsageError(
                f"the list {name[:64]!r} has no mode",
                fix=f"write NAME=MODE; the modes are {', '.join(MODES)}",
            )
        lists[name] = ListTerms(MODES[MODES.index(mode)], keeper)
    return lists


class Lists(Group, frozen=True, kw_only=True):
    """Outside lists, each with a mode: off, observe, or delay first messages to strangers."""

    lists: Annotated[
        str,
        Option(
            "Mode of each outside list: off, observe or delay, as NAME=MODE or "
            'NAME=MODE,KEEPER. In the file also a line each: cme = "delay".',
            metavar="NAME=MODE",
            unset="every list is observed",
            example="cme=delay",
            check=parse_lists,
        ),
    ] = ""


class Webhooks(Group, frozen=True, kw_only=True):
    """Where webhooks may go, beside public addresses by https."""

    private_webhooks: Annotated[
        bool, Option("Allow webhooks to private addresses, any port, and http.", unset="refused")
    ] = False
    insecure_webhooks: Annotated[
        bool, Option("Allow new webhooks that go to http.", unset="refused")
    ] = False


class Console(Group, frozen=True, kw_only=True):
    """The console, and the pages for account holders."""

    console: Annotated[
        bool | None, Option("Serve the pages of the console.", off="--no-console", unset="served")
    ] = None
    console_url: Annotated[
        str,
        Option(
            "Public address of the console, as typed.",
            common=True,
            metavar="URL",
            unset="http://localhost:PORT",
            example="https://abuse.example.org",
        ),
    ] = ""
    oidc: Annotated[
        Path | None,
        Option(
            "TOML file of an OpenID Connect provider (see the how-to on the console).",
            metavar="FILE",
            unset="passwords alone",
            example="/etc/wavebreak/oidc.toml",
        ),
    ] = None
    second_factor: Annotated[
        bool | None,
        Option(
            "Whether everybody needs a second factor.",
            off="--no-second-factor",
            unset="unless on this machine only",
        ),
    ] = None
    cases: Annotated[
        Path | None,
        Option(
            "Directory of the legal cases.",
            metavar="DIR",
            unset="HOME/cases",
            example="/var/lib/wavebreak-cases",
        ),
    ] = None


class Observability(Group, frozen=True, kw_only=True):
    """What the service reports of itself, beside logs and metrics."""

    traces: Annotated[
        str,
        Option(
            "OTLP endpoint (HTTP) that receives traces.",
            metavar="URL",
            unset="none",
            example="http://collector.example.org:4318/v1/traces",
            confidential="url",
        ),
    ] = ""


class LimitOptions(Group, frozen=True, kw_only=True):
    """What a client, and the process itself, may use."""

    header_timeout: Annotated[
        float,
        Meta(ge=0.1),
        Option("Time for the headers of a request (else 408).", metavar="SECONDS"),
    ] = settings.Limits.header_s
    body_timeout: Annotated[
        float, Meta(ge=0.1), Option("Time for the body of a request (else 408).", metavar="SECONDS")
    ] = settings.Limits.body_s
    max_age: Annotated[
        float,
        Meta(ge=1),
        Option(
            "How far a job on Flink may be behind the log for answers from it (else 503, or the "
            "policy's on_failure).",
            metavar="SECONDS",
        ),
    ] = settings.Limits.max_age_s
    connections: Annotated[
        int,
        Meta(ge=1),
        Option("Connections at once, of everybody (fewer where fewer files may be open)."),
    ] = settings.Limits.connections
    peer_connections: Annotated[
        int,
        Meta(ge=0),
        Option(
            "Connections at once of one address, or one /64 of IPv6 (0: no limit; none either "
            "for this machine, or with --trusted-proxies)."
        ),
    ] = settings.Limits.peer_connections
    key_events: Annotated[
        float, Meta(ge=1), Option("Events per second of one API key, over ten seconds (else 429).")
    ] = settings.Limits.key_events
    key_megabytes: Annotated[
        float,
        Meta(ge=0.001),
        Option("Decompressed MiB per second of one API key, over ten seconds (else 429)."),
    ] = settings.Limits.key_bytes / MEBIBYTE
    new_names_per_hour: Annotated[
        int,
        Meta(ge=1),
        Option(
            "Accounts, networks, devices and clients that an API key may name for the first time "
            "in an hour."
        ),
    ] = settings.Settings.new_names_per_hour
    max_memory: Annotated[
        str,
        Option(
            "Memory that the process may use, as 4GiB.",
            metavar="SIZE",
            unset="three quarters of the machine's",
            example="4GiB",
            check=parse_size,
        ),
    ] = ""


class Start(Group, frozen=True, kw_only=True):
    """What one start does. These are flags only: in a file they would act at every start."""

    backfill: Annotated[
        Path | None,
        Option(
            "Read the events of a file or directory first, into an empty log.",
            metavar="EVENTS",
            unset="none",
            flag_only=True,
        ),
    ] = None
    demo: Annotated[
        bool,
        Option("Send a simulated day as a live stream.", common=True, unset="off", flag_only=True),
    ] = False
    no_keys: Annotated[
        bool,
        Option(
            "Accept requests without an API key (for tests, on this machine only).",
            unset="off",
            flag_only=True,
        ),
    ] = False
    accept_loss: Annotated[
        bool,
        Option(
            "Start although log rows are damaged; their events are lost. What a trim removed is "
            "no such loss: it needs a snapshot or a backup.",
            unset="off",
            flag_only=True,
        ),
    ] = settings.Settings.accept_loss


class Configuration(Struct, frozen=True, kw_only=True):
    """The options of a service, by group."""

    listening: Listening = field(default_factory=Listening)
    decisions: Decisions = field(default_factory=Decisions)
    keys: Keys = field(default_factory=Keys)
    storage: Storage = field(default_factory=Storage)
    lists: Lists = field(default_factory=Lists)
    webhooks: Webhooks = field(default_factory=Webhooks)
    console: Console = field(default_factory=Console)
    observability: Observability = field(default_factory=Observability)
    limits: LimitOptions = field(default_factory=LimitOptions)
    start: Start = field(default_factory=Start)


@dataclass(frozen=True)
class DeclaredOption:
    """An option with its place in the declaration.

    Attributes:
        group: The table of the file that it is in.
        name: Its key there; no other group has the same.
        kind: The type of its value, without None.
        meta: Bounds of its value, where there are any.
        default: Its value where nobody gives one.
        about: What a reader needs to know.
    """

    group: str
    name: str
    kind: type[Any]
    meta: Meta | None
    default: Any
    about: Option

    @property
    def flags(self) -> tuple[str, ...]:
        """Flags of `wavebreak serve`, without the one that says no."""
        return self.about.flags or (f"--{self.name.replace('_', '-')}",)

    @property
    def variable(self) -> str:
        """The variable of the environment; "" for an option of one start."""
        return "" if self.about.flag_only else f"WAVEBREAK_{self.name.upper()}"

    @property
    def value_words(self) -> str:
        """What its value must be, in words.

        >>> option("port").value_words, option("header_timeout").value_words
        ('a whole number from 0 to 65535', 'a number of 0.1 or more')
        """
        if self.meta is not None and self.meta.pattern:
            return "a duration such as 7d"
        names = {bool: "true or false", int: "a whole number", float: "a number", Path: "a path"}
        words = names.get(self.kind, "text")
        low, high = (self.meta.ge, self.meta.le) if self.meta is not None else (None, None)
        if low is not None:
            words += f" from {low} to {high}" if high is not None else f" of {low} or more"
        return words

    @property
    def default_words(self) -> str:
        """The value where nobody gives one, in words.

        >>> option("port").default_words, option("database").default_words
        ('8480', 'SQLite in HOME')
        """
        return self.about.unset or value_text(self.default)

    @property
    def example(self) -> Any:
        """A value that the option may have."""
        if self.about.example:
            return self.about.example
        return self.default if self.default is not None else True

    def convert(self, value: Any, *, strict: bool) -> Any:
        """Return a value of the option's type.

        Args:
            value: The value, as the file or the environment has it.
            strict: Whether a text is no number.

        Raises:
            UsageError: It is of another type, or out of bounds.
        """
        kind: Any = Annotated[self.kind, self.meta] if self.meta is not None else self.kind
        problem = UsageError(f"must be {self.value_words}")
        try:
            converted = msgspec.convert(value, kind, strict=strict, dec_hook=_path)
        except msgspec.ValidationError:
            raise problem from None
        if isinstance(converted, float) and not math.isfinite(converted):
            raise problem
        if self.about.check is not None and converted:
            self.about.check(converted)
        return converted


def _path(kind: type[Any], value: Any) -> Any:
    if kind is Path and isinstance(value, str) and value:
        return Path(value)
    raise ValueError


@cache
def declared_options() -> tuple[DeclaredOption, ...]:
    """Return every option, in the order of the declaration."""
    return tuple(
        _declared(group.name, each)
        for group in msgspec.structs.fields(Configuration)
        for each in msgspec.structs.fields(group.type)
    )


def _declared(group: str, each: msgspec.structs.FieldInfo) -> DeclaredOption:
    kind, *notes = get_args(each.type)
    inner = [part for part in get_args(kind) if part is not NoneType]
    about = next(note for note in notes if isinstance(note, Option))
    meta = next((note for note in notes if isinstance(note, Meta)), None)
    if get_origin(kind) is not None and inner:
        kind = inner[0]
    return DeclaredOption(group, each.name, kind, meta, each.default, about)


def option(name: str) -> DeclaredOption:
    """Return an option by its name."""
    return next(each for each in declared_options() if each.name == name)


def groups() -> Mapping[str, tuple[DeclaredOption, ...]]:
    """Return the options of each group."""
    names = [each.name for each in msgspec.structs.fields(Configuration)]
    return {
        name: tuple(each for each in declared_options() if each.group == name) for name in names
    }


def group_summary(name: str) -> str:
    """Return what the options of a group are about.

    >>> group_summary("storage")
    "The database, the log, and snapshots of the engine's state."
    """
    kinds = {each.name: each.type for each in msgspec.structs.fields(Configuration)}
    return str(kinds[name].__doc__)


# Words


def value_text(value: Any) -> str:
    """Return a value for a reader.

    >>> value_text(300.0), value_text(True), value_text(None), value_text("events")
    ('300', 'true', '', 'events')
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{int(value)}" if value == int(value) else f"{value:g}"
    return str(value)


def assignment(declared: DeclaredOption) -> str:
    """Return a line of the file that gives the option a value.

    >>> assignment(option("port")), assignment(option("profile"))
    ('port = 8480', 'profile = "/etc/wavebreak/profile.json"')
    """
    text = value_text(declared.example)
    return (
        f'{declared.name} = "{text}"'
        if declared.kind in (str, Path)
        else (f"{declared.name} = {text}")
    )
