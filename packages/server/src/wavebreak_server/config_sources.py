"""Where the values of the service's options come from: flags, environment, file, defaults.

A secret is never read from the file, which people copy and keep with their sources: only the path
of a file of its own is.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from wavebreak.config import read_toml
from wavebreak.errors import PolicyError, UsageError
from wavebreak_server import config

FILE = "wavebreak.toml"
"""The file in the service's directory that is read where no other one is named."""
FILE_VARIABLE = "WAVEBREAK_CONFIG"
HIDDEN = "(hidden)"
_LEAST_LIKENESS = 0.6
_KEY_TEXT = re.compile(r"[0-9a-fA-F]{32,}|PRIVATE\+KEY\+.*", re.DOTALL)


@dataclass(frozen=True)
class Problem:
    """What is wrong in a file: where, what and the way out."""

    what: str
    fix: str


@dataclass(frozen=True)
class FileValues:
    """What a file of configuration says.

    Attributes:
        values: Values of options, by name.
        problems: What is wrong in it; empty for a valid file.
    """

    path: Path
    values: Mapping[str, Any]
    problems: tuple[Problem, ...]


def read_file(path: Path) -> FileValues:
    """Read a file of configuration; relative paths in it are taken from its directory.

    Raises:
        UsageError: The file cannot be read, or is no TOML.
    """
    try:
        tables = read_toml(path)
    except PolicyError as error:
        raise UsageError(error.what, fix=error.fix) from None
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    known = config.groups()
    for group, table in tables.items():
        if not isinstance(table, dict):
            problems.append(Problem(f"{path}: {group} is in no table", _outside_fix(group)))
        elif group not in known:
            problems.append(Problem(f"{path}: [{group}] is no table", _group_fix(group)))
        else:
            for name, value in (_lists(table) if group == "lists" else table).items():
                try:
                    values[name] = _file_value(group, name, value, path.absolute().parent)
                except UsageError as error:
                    problems.append(Problem(f"{path}: [{group}] {name} {error.what}", error.fix))
    return FileValues(path, values, tuple(problems))


def _lists(table: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the table of outside lists as its one option: each is a line or a table of its own."""
    words = []
    for name, value in table.items():
        if name == "lists" and isinstance(value, str):
            words.append(value)
            continue
        given = {"mode": value} if isinstance(value, str) else value
        if not isinstance(given, dict) or set(given) - {"mode", "keeper"}:
            return {"lists": f"{name}="}
        parts = [str(given.get("mode", "")), str(given.get("keeper", ""))]
        words.append(f"{name}={','.join(filter(None, parts))}")
    return {"lists": " ".join(words)}


def _file_value(group: str, name: str, value: Any, base: Path) -> Any:
    """Return the value of an option in a file; raises UsageError without the option's name."""
    declared = next((each for each in config.groups()[group] if each.name == name), None)
    if declared is None:
        raise UsageError("is unknown", fix=_name_fix(group, name))
    if declared.about.flag_only:
        fix = f"delete it; give {declared.flags[0]} at the start that needs it"
        raise UsageError("is an option of one start, not of the file", fix=fix)
    if declared.about.confidential and isinstance(value, str):
        _refuse_secret(declared, value)
    try:
        converted = declared.convert(value, strict=True)
    except UsageError as error:
        raise UsageError(error.what, fix=f"write {config.assignment(declared)}") from None
    is_path = declared.about.is_path
    if isinstance(converted, str) and converted and is_path is not None and is_path(converted):
        return str(base / converted)
    return base / converted if isinstance(converted, Path) else converted


def _refuse_secret(declared: config.DeclaredOption, value: str) -> None:
    """Raise UsageError for a secret: whoever keeps or copies a file of options would have it."""
    variable = declared.variable
    if declared.about.confidential == "key" and _KEY_TEXT.fullmatch(value.strip()):
        fix = f"write the key to a file of mode 0600 and give its path here, or set {variable}"
        raise UsageError("holds a key, which is never read from this file", fix=fix)
    if declared.about.confidential == "url" and has_password(value):
        fix = f"set {variable} in the environment of the service"
        if declared.about.is_path is not None:
            fix = f"write the URL to a file of mode 0600 and give its path here, or set {variable}"
        raise UsageError("holds a password, which is never read from this file", fix=fix)


def _outside_fix(key: str) -> str:
    places = {each.name: each.group for each in config.declared_options()}
    near = difflib.get_close_matches(_plain(key), places, 1, _LEAST_LIKENESS)
    if near:
        return f"write {near[0]} below a line [{places[near[0]]}]"
    return f"write it in a table: {_table_names()}"


def _group_fix(group: str) -> str:
    near = difflib.get_close_matches(_plain(group), config.groups(), 1, _LEAST_LIKENESS)
    return f"did you mean [{near[0]}]?" if near else f"the tables are {_table_names()}"


def _name_fix(group: str, name: str) -> str:
    """Return the way out for an unknown key: its right name, or the table that it belongs to."""
    plain = _plain(name)
    by_name = {each.name: each for each in config.declared_options()}
    own = [each.name for each in config.groups()[group]]
    near = [
        *([plain] if plain in by_name else ()),
        *difflib.get_close_matches(plain, own, 1, _LEAST_LIKENESS),
        *difflib.get_close_matches(plain, by_name, 1, _LEAST_LIKENESS),
    ]
    if not near:
        return f"the keys of [{group}] are {', '.join(own)}"
    place = by_name[near[0]].group
    return f"did you mean {near[0]}{'' if place == group else f' of [{place}]'}?"


def _plain(name: str) -> str:
    """Return a name as keys are written, where a flag or a variable was meant."""
    return name.lower().removeprefix("wavebreak_").strip("-").replace("-", "_")


def _table_names() -> str:
    return ", ".join(f"[{name}]" for name in config.groups() if name != "start")


# Effective values


@dataclass(frozen=True)
class Effective:
    """The options of a service, and where each value comes from.

    Attributes:
        configuration: The options.
        sources: "default", "file", "flag", or the name of a variable, by option.
        file: The file that was read (None: there is none).
    """

    configuration: config.Configuration
    sources: Mapping[str, str]
    file: Path | None

    def value(self, declared: config.DeclaredOption) -> Any:
        """Return the value of an option."""
        return getattr(getattr(self.configuration, declared.group), declared.name)

    def shown(self, declared: config.DeclaredOption) -> Any:
        """Return the value of an option for whoever may look: no key, and no password."""
        value, confidential = self.value(declared), declared.about.confidential
        if confidential == "key" and self.sources[declared.name] == declared.variable:
            return HIDDEN
        return without_password(value) if confidential == "url" else value

    def in_given_form(self, text: str) -> str:
        """Return a text that names options by flags with each named as it was given.

        That is by its variable, or by its key in the file; an option that was given by a flag, or
        by nobody, keeps its flag.
        """
        for each in config.declared_options():
            source = self.sources[each.name]
            if source in ("default", "flag"):
                continue
            name = f"[{each.group}] {each.name} of {self.file}" if source == "file" else source
            flags = "|".join(filter(None, (*each.flags, each.about.off)))
            text = re.sub(rf"(?<![\w-])(?:{flags})(?![\w-])", name.replace("\\", r"\\"), text)
        return text


def resolve(
    home: Path | None,
    flags: Mapping[str, Any],
    environment: Mapping[str, str],
    file: Path | None = None,
) -> Effective:
    """Return the options of a service: flag before environment, before file, before default.

    Args:
        home: The service's directory, whose file is read where no other one is named.
        flags: What was given on the command line, by option; None is not given.
        environment: Variables of the environment.
        file: The file that was named on the command line.

    Raises:
        UsageError: The file or a variable is invalid; names it, the option and the way out.
    """
    path = _file_of(home, environment, file)
    values: dict[str, Any] = {}
    sources = {each.name: "default" for each in config.declared_options()}
    if path is not None:
        said = read_file(path)
        if said.problems:
            raise _file_error(said)
        values |= said.values
        sources |= dict.fromkeys(said.values, "file")
    for each in config.declared_options():
        text = environment.get(each.variable, "").strip() if each.variable else ""
        if text and not _is_service_link(each.name, text):
            sources[each.name] = each.variable
            # Where the variable may hold a key itself, what opens the key reads it.
            values[each.name] = (
                None if each.about.confidential == "key" else _variable_value(each, text)
            )
    given = {name: value for name, value in flags.items() if value is not None}
    values |= given
    sources |= dict.fromkeys(given, "flag")
    return Effective(_configuration(values), sources, path)


def _configuration(values: Mapping[str, Any]) -> config.Configuration:
    kinds = {each.name: each.type for each in msgspec.structs.fields(config.Configuration)}
    return config.Configuration(
        **{
            group: kinds[group](**{o.name: values[o.name] for o in options if o.name in values})
            for group, options in config.groups().items()
        }
    )


def _file_of(home: Path | None, environment: Mapping[str, str], file: Path | None) -> Path | None:
    named = environment.get(FILE_VARIABLE, "").strip()
    if file is not None or named:
        return file or Path(named)
    beside = home / FILE if home is not None else None
    return beside if beside is not None and beside.exists() else None


def _file_error(said: FileValues) -> UsageError:
    first, *others = said.problems
    more = f" (and {len(others)} more: wavebreak config check {said.path})" if others else ""
    return UsageError(first.what + more, fix=first.fix)


def _is_service_link(name: str, text: str) -> bool:
    """Whether a variable is of Kubernetes: it sets WAVEBREAK_PORT for a service `wavebreak`."""
    return name == "port" and text.startswith(("tcp://", "udp://"))


def _variable_value(declared: config.DeclaredOption, text: str) -> Any:
    try:
        return declared.convert(text, strict=False)
    except UsageError as error:
        raise UsageError(
            f"{declared.variable} {error.what}",
            fix=f"set it to {config.value_text(declared.example)}, say, or leave it out",
        ) from None


def check_combinations(configuration: config.Configuration) -> None:
    """Raise UsageError for options that contradict each other."""
    storage = configuration.storage
    if configuration.decisions.flink_job and not (storage.database and storage.log):
        raise UsageError(
            "--flink-job needs a log that the job can read",
            fix="give --database postgresql://… and --log kafka://…",
        )


# Passwords in URLs


def has_password(url: str) -> bool:
    """Whether a URL holds a password, or is so wrong that it may.

    >>> [has_password(f"postgresql://{part}") for part in ("host", "me@host", "me:pass@host")]
    [False, False, True]
    >>> has_password("postgresql://db/abuse?user=me&password=pass")
    True
    """
    try:
        parts = urlsplit(url)
        return bool(parts.password) or "password" in parse_qs(parts.query)
    except ValueError:
        return True


def without_password(url: str) -> str:
    """Return a URL whose password is hidden.

    >>> without_password("postgresql://me:pass@db/abuse"), without_password("/etc/url")
    ('postgresql://me:***@db/abuse', '/etc/url')
    >>> without_password("postgresql://db/abuse?password=pass&user=me")
    'postgresql://db/abuse?password=***&user=me'
    """
    if not has_password(url):
        return url
    if "//" not in url:
        return HIDDEN
    hidden = re.sub(r"(?<=//)([^/@:]*):.*@", r"\1:***@", url)
    return re.sub(r"(?<=[?&]password=)[^&]*", "***", hidden)
