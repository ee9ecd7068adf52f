"""Counts of decisions against labels: accounts actioned, delay, messages delivered, false actions.

Every account counts once, at its worst outcome (an account that was restricted and later banned
counts as banned). "Actioned" is restrict or worse. Intervals are exact 95 % intervals after
Clopper and Pearson (Biometrika 26, 1934).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from wavebreak.durations import HOUR_MS, WEEK_MS
from wavebreak.errors import FileError, UsageError
from wavebreak.evaluation.intervals import exact_interval
from wavebreak.evaluation.labels import LABELS, read_labels
from wavebreak.outcomes import CHALLENGE, LIMIT, REFUSING, SILENCING, TABLE, code_of, row_of

_COLUMNS = (
    "account",
    "worst",
    "first_seen_ms",
    "registered_ms",
    "first_action_ms",
    "first_action_stage",
    "strangers_before_action",
    "unwanted",
    "refused",
    "reports_before_action",
    "last_report_before_action_ms",
    "first_contacts_attempted",
    "first_contacts_refused",
)
MIN_FIRST_CONTACTS = 30
"""From so many on a persona's share of first messages refused says something."""


@dataclass(frozen=True)
class Family:
    """Results for one family of abusive accounts: counts of accounts, hours, messages.

    `delivered` are messages that got through to people who never wrote to the sender, `stopped`
    acts of its accounts that enforcement refused: messages, requests, additions to groups.
    """

    accounts: int
    challenged: int
    actioned: int
    at_registration: int
    no_report_7d: int
    no_report_ever: int
    unwanted_median: float
    unwanted_p90: float
    unwanted_mean: float
    hours_median: float | None
    limited: int = 0
    delivered: int = 0
    stopped: int = 0

    @property
    def met(self) -> int:
        """Accounts challenged, limited, or actioned."""
        return self.challenged + self.limited + self.actioned

    @property
    def stopped_share(self) -> float:
        """Share of what its accounts tried that was stopped; 0 where they tried nothing."""
        attempts = self.delivered + self.stopped
        return self.stopped / attempts if attempts else 0.0


@dataclass(frozen=True)
class Persona:
    """Results for one persona of benign accounts: counts by worst outcome, and first messages.

    `first_contacts` are people written to first or asked for contact, by all its accounts together,
    `refused` those of them to whom enforcement refused it at least once.
    """

    accounts: int
    challenged: int
    limited: int
    restricted: int
    suspended: int
    banned: int
    first_contacts: int = 0
    refused: int = 0

    @property
    def by_outcome(self) -> dict[str, int]:
        """Accounts by worst outcome, of those that refuse something, mildest first."""
        return {name: int(getattr(self, row_of(name).state)) for name in REFUSING}

    @property
    def actioned(self) -> int:
        """Accounts restricted or worse."""
        return sum(count for name, count in self.by_outcome.items() if name in SILENCING)

    @property
    def met(self) -> int:
        """Accounts challenged, limited, or actioned."""
        return sum(self.by_outcome.values())

    @property
    def refused_share(self) -> float:
        """Share of the first messages that were refused."""
        return self.refused / self.first_contacts if self.first_contacts else 0.0


@dataclass(frozen=True)
class BeforeAction:
    """What the accounts of a family did before the first action on them.

    Attributes:
        hours_p90: 90th percentile of the hours from registration (else the first event) to the
            first restrict, suspend or ban, over actioned accounts.
        strangers_median: Median of the messages to people who never wrote to the sender, up to
            that action, over all accounts of the family in the log.
        strangers_p90: 90th percentile of the same.
        unwanted_spread: Percentiles 10, 25, 50, 75 and 90 of delivered messages to strangers.
    """

    hours_p90: float | None
    strangers_median: float
    strangers_p90: float
    unwanted_spread: tuple[float, float, float, float, float]


@dataclass(frozen=True)
class Evaluation:
    """Decisions of runs against their labels, all runs counted together.

    Attributes:
        families: Results by family of abusive accounts.
        before_action: What each family did before the first action.
        everyone: All abusive accounts together.
        everyone_before: What all abusive accounts did before the first action.
        personas: Results by persona of benign accounts.
        unlabelled: Accounts in the logs that have no label (the background).
        absent: Labelled accounts that no log contains, by label. They count as not actioned and
            as having delivered nothing.
        worlds: The simulator's world.json beside each run's labels; empty where there is none.
        runs: The summary.json of each run; empty where there is none.
        excluded: Families that were excluded from all counts.
    """

    families: dict[str, Family]
    before_action: dict[str, BeforeAction]
    everyone: Family
    everyone_before: BeforeAction
    personas: dict[str, Persona]
    unlabelled: Persona
    absent: dict[str, int]
    worlds: tuple[dict[str, Any], ...]
    runs: tuple[dict[str, Any], ...]
    excluded: tuple[str, ...] = ()

    @property
    def equal_weight(self) -> float | None:
        """Share of abusive accounts actioned, each family weighing the same."""
        shares = [f.actioned / f.accounts for f in self.families.values()]
        return sum(shares) / len(shares) if shares else None

    @property
    def stopped_equal_weight(self) -> float | None:
        """Mean share of unwanted messages stopped, each family weighing the same."""
        shares = [f.stopped_share for f in self.families.values()]
        return sum(shares) / len(shares) if shares else None

    @property
    def first_messages(self) -> tuple[int, int]:
        """First messages of all benign accounts with a label: refused, and all."""
        personas = self.personas.values()
        return sum(p.refused for p in personas), sum(p.first_contacts for p in personas)

    @property
    def worst_persona(self) -> str | None:
        """The persona with the largest share of first messages refused, of those that sent some.

        One with fewer than `MIN_FIRST_CONTACTS` counts only where all have.
        """
        names = [n for n, p in self.personas.items() if p.first_contacts >= MIN_FIRST_CONTACTS]
        candidates = names or [n for n, p in self.personas.items() if p.first_contacts]
        return max(candidates, key=lambda name: self.personas[name].refused_share, default=None)

    def as_json(self) -> dict[str, Any]:
        """Return the evaluation as plain JSON values; the keys are part of the public interface."""
        return {
            "families": {name: asdict(f) for name, f in self.families.items()},
            "personas": {name: asdict(p) for name, p in self.personas.items()},
            "all": asdict(self.everyone),
            "intervals": {
                "families": {name: _share_intervals(f) for name, f in self.families.items()},
                "all": _share_intervals(self.everyone),
                "personas": {name: _share_intervals(p) for name, p in self.personas.items()},
            },
            "before_action": {name: asdict(b) for name, b in self.before_action.items()},
            "unlabelled": asdict(self.unlabelled),
            "refused": self._refusals(),
            "absent": self.absent,
            "equal_weight": self.equal_weight,
            "stopped": {
                "share": self.everyone.stopped_share if self.families else None,
                "equal_weight": self.stopped_equal_weight,
            },
        }

    def _refusals(self) -> dict[str, Any]:
        """Return first messages of benign accounts refused: in all, and of the worst persona."""
        worst = self.worst_persona
        persona = self.personas[worst] if worst is not None else None
        return _refused_of(*self.first_messages) | {
            "worst": {"persona": worst} | _refused_of(persona.refused, persona.first_contacts)
            if persona is not None
            else None
        }


def _refused_of(count: int, total: int) -> dict[str, Any]:
    """Return first messages refused: count, share and interval."""
    share = count / total if total else None
    interval = list(exact_interval(count, total))
    return {"refused": count, "first_contacts": total, "share": share, "interval": interval}


def _share_intervals(counts: Family | Persona) -> dict[str, list[float]]:
    """Return the interval of each share that a family or persona is measured by."""
    names = (
        ("actioned", "met")
        if isinstance(counts, Family)
        else ("challenged", "limited", "restricted", "suspended", "banned", "actioned")
    )
    intervals = {
        name: list(exact_interval(getattr(counts, name), counts.accounts)) for name in names
    }
    if isinstance(counts, Persona):
        intervals["refused"] = list(exact_interval(counts.refused, counts.first_contacts))
    return intervals


def read_accounts(run_dir: Path) -> pa.Table:
    """Read accounts.parquet of a run; raises FileError where a column is missing."""
    path = run_dir / "accounts.parquet"
    if not path.is_file():
        raise FileError(
            f"{run_dir} contains no accounts.parquet",
            fix="give the directory that `wavebreak run … -o DIR` wrote",
        )
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise FileError(f"{path} cannot be read ({error})", fix="run `wavebreak run` again") from (
            error
        )
    missing = [name for name in _COLUMNS if name not in table.column_names]
    if missing:
        raise FileError(
            f"{path} has no columns {', '.join(missing)}",
            fix="run `wavebreak run` again with this version",
        )
    return table


@dataclass(frozen=True)
class _Columns:
    """The accounts of a run as arrays, one entry for each; times in ms, NaN where absent."""

    worst: NDArray[np.int64]
    start: NDArray[np.float64]
    action: NDArray[np.float64]
    registration: NDArray[np.bool_]
    strangers: NDArray[np.float64]
    unwanted: NDArray[np.float64]
    reports: NDArray[np.int64]
    last_report: NDArray[np.float64]
    stopped: NDArray[np.int64]
    first_contacts: NDArray[np.int64]
    refused: NDArray[np.int64]

    @classmethod
    def of(cls, table: pa.Table) -> _Columns:
        def floats(name: str) -> NDArray[np.float64]:
            return np.asarray(table[name].to_numpy(), dtype=np.float64)

        codes = {row.name: row.code for row in TABLE}
        worst = np.array([codes.get(w, 0) for w in table["worst"].to_pylist()], dtype=np.int64)
        registered, first_seen = floats("registered_ms"), floats("first_seen_ms")
        return cls(
            worst=worst,
            start=np.where(np.isnan(registered), first_seen, registered),
            action=floats("first_action_ms"),
            registration=np.array(
                [stage == "registration" for stage in table["first_action_stage"].to_pylist()],
                dtype=np.bool_,
            ),
            strangers=floats("strangers_before_action"),
            unwanted=floats("unwanted"),
            reports=np.nan_to_num(floats("reports_before_action")).astype(np.int64),
            last_report=floats("last_report_before_action_ms"),
            stopped=floats("refused").astype(np.int64),
            first_contacts=floats("first_contacts_attempted").astype(np.int64),
            refused=floats("first_contacts_refused").astype(np.int64),
        )

    def family(self, rows: NDArray[np.int64], absent: int) -> tuple[Family, BeforeAction]:
        """Count one family: the `rows` of its accounts, and `absent` more that the log lacks."""
        worst, reports = self.worst[rows], self.reports[rows]
        actioned = np.isin(worst, [code_of(name) for name in SILENCING])
        recent = self.last_report[rows] >= self.action[rows] - WEEK_MS
        hours = ((self.action - self.start)[rows][actioned]) / HOUR_MS
        hours = hours[~np.isnan(hours)]
        unwanted = np.concatenate([self.unwanted[rows], np.zeros(absent)])
        strangers = np.concatenate([self.strangers[rows], np.zeros(absent)])
        five = np.percentile(unwanted, (10, 25, 50, 75, 90))
        family = Family(
            accounts=len(rows) + absent,
            challenged=int((worst == CHALLENGE).sum()),
            actioned=int(actioned.sum()),
            at_registration=int((actioned & self.registration[rows]).sum()),
            no_report_7d=int((actioned & ~recent).sum()),
            no_report_ever=int((actioned & (reports == 0)).sum()),
            unwanted_median=float(five[2]),
            unwanted_p90=float(five[4]),
            unwanted_mean=float(unwanted.mean()),
            hours_median=float(np.median(hours)) if len(hours) else None,
            limited=int((worst == LIMIT).sum()),
            delivered=int(unwanted.sum()),
            stopped=int(self.stopped[rows].sum()),
        )
        p10, p25, median, p75, p90 = (float(v) for v in five)
        return family, BeforeAction(
            hours_p90=float(np.percentile(hours, 90)) if len(hours) else None,
            strangers_median=float(np.median(strangers)),
            strangers_p90=float(np.percentile(strangers, 90)),
            unwanted_spread=(p10, p25, median, p75, p90),
        )

    def persona(self, rows: NDArray[np.int64], absent: int) -> Persona:
        """Count one persona by worst outcome, and its first messages."""
        counts = np.bincount(self.worst[rows], minlength=len(TABLE))
        outcome_counts = (counts[code_of(name)] for name in REFUSING)
        first = (self.first_contacts[rows].sum(), self.refused[rows].sum())
        return Persona(len(rows) + absent, *(int(c) for c in (*outcome_counts, *first)))


def _object(path: Path) -> dict[str, Any]:
    """Read a JSON object; return an empty one where the file is absent or is not one."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


@dataclass(frozen=True)
class _Group:
    """The accounts of one family or persona: rows of those in the log, a count of the others."""

    rows: NDArray[np.int64]
    absent: int


def labels_path(run_dir: Path) -> Path:
    """Return the path of a run's labels.csv: in its directory, or beside its events.

    Of events in `NAME_events.*`, the labels beside them may be `NAME_labels.csv`.
    """
    source = _object(run_dir / "summary.json").get("source")
    log = Path(str(source.get("path") if isinstance(source, dict) else ""))
    file_name = f"{log.name.partition('events.')[0]}labels.csv"
    for path in (run_dir / "labels.csv", log.parent / "labels.csv", log.parent / file_name):
        if path.is_file():
            return path
    raise FileError(
        f"{run_dir}: no labels.csv in it or beside the events that it read",
        fix="give the labels file with --labels",
    )


def _grouped(
    runs: Sequence[tuple[Path, list[str]]],
) -> tuple[dict[str, dict[str, _Group]], NDArray[np.int64]]:
    """Match labels with accounts; return groups by label and name, and the other rows."""
    rows_by_family: dict[tuple[str, str], list[int | None]] = {}
    rest: list[int] = []
    before = 0
    for labels, accounts in runs:
        row_of = {account: row for row, account in enumerate(accounts, before)}
        for label in read_labels(labels):
            row = row_of.pop(label.account, None)
            rows_by_family.setdefault((label.label, label.family), []).append(row)
        rest += row_of.values()
        before += len(accounts)
    groups: dict[str, dict[str, _Group]] = {label: {} for label in LABELS}
    for (kind, name), rows in sorted(rows_by_family.items()):
        positions = [row for row in rows if row is not None]
        groups[kind][name] = _Group(np.array(positions, dtype=np.int64), len(rows) - len(positions))
    return groups, np.array(sorted(rest), dtype=np.int64)


def evaluate(run_dir: Path, labels: Path) -> Evaluation:
    """Evaluate the decisions of one run against labels."""
    return evaluate_all([(run_dir, labels)])


def evaluate_all(runs: Sequence[tuple[Path, Path]], exclude: Collection[str] = ()) -> Evaluation:
    """Evaluate the decisions of several runs against the labels of each, counted together.

    Args:
        runs: The directory and the labels file of each run. Accounts of different runs are
            different accounts.
        exclude: Families that are not counted.

    Raises:
        FileError: A run or its labels cannot be read.
        UsageError: No run has a family named in `exclude`.
    """
    tables = [read_accounts(run_dir).select(_COLUMNS) for run_dir, _ in runs]
    names = [table["account"].to_pylist() for table in tables]
    columns = _Columns.of(pa.concat_tables(tables))
    groups, rest = _grouped([(labels, n) for (_, labels), n in zip(runs, names, strict=True)])
    for name in exclude:
        if groups["abusive"].pop(name, None) is None:
            raise UsageError(
                f"the labels have no family {name}",
                fix=f"use one of {', '.join(groups['abusive'])}",
            )
    absent = {kind: sum(g.absent for g in groups[kind].values()) for kind in LABELS}
    abusive = groups["abusive"]
    results = {name: columns.family(g.rows, g.absent) for name, g in abusive.items()}
    everyone = _NO_FAMILY
    if abusive:
        rows = np.concatenate([g.rows for g in abusive.values()])
        everyone = columns.family(rows, absent["abusive"])
    return Evaluation(
        families={name: family for name, (family, _) in results.items()},
        before_action={name: before for name, (_, before) in results.items()},
        everyone=everyone[0],
        everyone_before=everyone[1],
        personas={name: columns.persona(g.rows, g.absent) for name, g in groups["benign"].items()},
        unlabelled=columns.persona(rest, 0),
        absent=absent,
        worlds=tuple(_object(labels.parent / "world.json") for _, labels in runs),
        runs=tuple(_object(run_dir / "summary.json") for run_dir, _ in runs),
        excluded=tuple(exclude),
    )


_NO_FAMILY = (
    Family(0, 0, 0, 0, 0, 0, 0.0, 0.0, 0.0, None),
    BeforeAction(None, 0.0, 0.0, (0.0, 0.0, 0.0, 0.0, 0.0)),
)
