"""Results: decisions on events, with explanations, evaluations and comparisons."""

from __future__ import annotations

import shutil
import tempfile
import warnings
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv
from pyarrow import json as arrow_json

from wavebreak import assessment, engine, evaluation, explain, run_diff
from wavebreak.assessment import measurement
from wavebreak.errors import UsageError
from wavebreak.library.inputs import Events, Key, as_events, resolve_key
from wavebreak.library.views import Picture, Report
from wavebreak.linking import storage
from wavebreak.model import Model, load_selected
from wavebreak.outcomes import BY_RANK
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.reports import network
from wavebreak.reports import report as reporting
from wavebreak.reports.charts import Timeline
from wavebreak.reports.progress import Progress, show_progress
from wavebreak.reports.tables import Table, count_of
from wavebreak.rules import Policy, load_policy
from wavebreak.schema import identifiers

_TIME = pa.timestamp("ms", "UTC")
_REASON = pa.struct({"feature": pa.string(), "value": pa.float64(), "contribution": pa.float64()})
DECISIONS = pa.schema({
    "id": pa.string(), "ts": _TIME, "account": pa.string(), "stage": pa.string(),
    "outcome": pa.string(), "action": pa.string(), "until": _TIME, "score": pa.float64(),
    "rules": pa.list_(pa.string()), "reasons": pa.list_(_REASON), "trigger": pa.string(),
    "policy": pa.string(), "model": pa.string(), "features": pa.string(), "basis": pa.string(),
    "new_chats_1d": pa.int64(),
})  # fmt: skip
"""Columns of a result's decisions."""
_REJECTED = pa.schema({"line": pa.int64(), "cause": pa.string(), "message": pa.string()})
_COUNT_KEYS = ("accepted", "refused", "late", "duplicates", "accounts")
_INTEGERS = {_TIME: pa.int64()}

Labels = str | Path | Any
"""A CSV file with account, label, family and operator, or a table with these columns."""


class Result:
    """Decisions on events. A notebook shows the counts; tables are Arrow's.

    Times in tables are milliseconds in UTC.

    Attributes:
        directory: The run's files; a private directory, which ends with the result, where none was
            named.
    """

    def __init__(self, directory: Path, *, is_private: bool = False, key: Key = None) -> None:
        self.directory, self._key = directory, key
        if is_private:
            weakref.finalize(self, shutil.rmtree, directory, ignore_errors=True)
        self._summary = run_diff.read_summary(directory)

    @classmethod
    def open(cls, directory: str | Path) -> Result:
        """Open the directory that `decide(..., out=directory)` or `wavebreak run -o` wrote.

        Raises:
            Error: The directory holds no run.
        """
        return cls(Path(directory))

    @property
    def decisions(self) -> pa.Table:
        """One row a decision, in the order of the events; columns are the fields of `Decision`."""
        return _read_lines(self.directory / "decisions.jsonl", DECISIONS)

    @property
    def accounts(self) -> pa.Table:
        """One row an account: activity, worst outcome and current outcome."""
        return pq.read_table(self.directory / "accounts.parquet")

    @property
    def rejected(self) -> pa.Table:
        """The first 1,000 events that were refused as invalid: line, cause, message with a fix."""
        return _read_lines(self.directory / "refused.jsonl", _REJECTED)

    @property
    def operators(self) -> pa.Table:
        """One row a group of accounts that seem to be of one hand, the largest first."""
        rows = [
            {name: getattr(operator, name) for name in _OPERATORS.names}
            for operator in storage.load(self.directory)
        ]
        return pa.Table.from_pylist(rows, _OPERATORS)

    def summary(self) -> dict[str, Any]:
        """Return the counts, versions and speed of the run."""
        return dict(self._summary)

    def explain(self, account: str) -> Report:
        """Explain the decisions about an account: activity, matched rules, consequences.

        Args:
            account: The id, as in the decisions.

        Raises:
            Error: The account is not in the result; similar names are named.
        """
        explanation = explain.explain(self.directory, account)
        return Report(
            explain.explanation_report(explanation), explain.explanation_summary(explanation)
        )

    def plot(self, account: str) -> Picture:
        """Draw the activity of an account over time, and the decisions about the account.

        Raises:
            Error: The account is not in the result, or the events no longer exist.
        """
        pictures = [p for p in self.explain(account).pictures if isinstance(p.chart, Timeline)]
        if not pictures:
            raise UsageError(
                f"the events of {account} are not there any more",
                fix="decide again, or keep the log where the run read it",
            )
        return pictures[0]

    def plot_operator(self, operator: str) -> Picture:
        """Draw the accounts of an operator with links and worst outcomes.

        Args:
            operator: The id, as in `operators`.

        Raises:
            Error: The result has no such operator.
        """
        operators = {item.id: item for item in storage.load(self.directory)}
        if operator not in operators:
            operator_ids = ", ".join([*operators][:5])
            raise UsageError(
                f"there is no operator {operator}",
                fix=f"choose one of {operator_ids}"
                if operator_ids
                else "this result has no operators",
            )
        outcomes = dict(zip(*(self.accounts[name].to_pylist() for name in ("account", "worst")),
                            strict=True))  # fmt: skip
        return Picture(network.operator_network(operators[operator], outcomes))

    def evaluate(self, labels: Labels | None = None) -> Report:
        """Measure the decisions against labels; see `wavebreak.evaluate`."""
        return evaluate(self, labels)

    def replay(
        self, policy: Policy, *, model: Model | str | Path | None = None,
        labels: Labels | None = None, out: str | Path | None = None, key: Key = None,
        progress: Progress = True, **options: Any,
    ) -> Comparison:  # fmt: skip
        """Decide on the same events again under another policy or model, and compare.

        Args:
            policy: The other policy.
            model: The other model (None: rules alone).
            labels: Labels of accounts, if known.
            out: Directory for the files of the other result (None: a private one).
            key: The secret key of pseudonyms (None: the one that this result was made with).
            progress: Whether a bar shows how far it is, or a function that is called instead.
            **options: `workers`, `batch` and `ceiling`, as of `wavebreak.engine.run`.

        Raises:
            Error: The events are not there any more, or `out` is the directory of this result.
        """
        with (
            _output(out) as directory,
            show_progress("replay", progress) as show,
            _labels_file(labels) as labels_path,
        ):
            differences = run_diff.replay(
                self.directory,
                directory,
                policy,
                Pseudonymizer(resolve_key(key or self._key, is_personal=False)),
                labels=labels_path,
                model=_load_model(model),
                progress=_progress_callback(show),
                **options,
            )
        second = Result(directory, is_private=out is None, key=key or self._key)
        return Comparison(differences, self, second)

    def report(self) -> Report:
        """Return the counts of the result as a report."""
        return Report(summary_report(self._summary))

    def _warn_of_identifiers(self) -> None:
        """Warn of ids in the run that a service would refuse."""
        batches = self.accounts.select(["account"]).to_batches()
        count = sum(identifiers.faulty_rows(batch).size for batch in batches)
        if count:
            warnings.warn(
                f"{count_of(count, 'account')} with an id that holds blanks or control "
                "characters, or looks like a phone number, an e-mail address or a URL: the run's "
                "files have it as it is. Replace such ids by keyed hashes, or allow them "
                "(--allow-identifiers, allow_identifiers=True)",
                stacklevel=3,
            )

    def __repr__(self) -> str:
        return str(self.report())

    def _repr_html_(self) -> str:
        return self.report()._repr_html_()


_OPERATORS = pa.schema({
    "id": pa.string(), "accounts": pa.list_(pa.string()), "abusive": pa.list_(pa.string()),
    "victims": pa.bool_(), "strangers": pa.int64(), "answers": pa.int64(),
    "complaints": pa.int64(), "unanswered_evidence": pa.float64(),
    "complaint_evidence": pa.float64(), "edges_total": pa.int64(),
})  # fmt: skip


class Comparison(Report):
    """Changes between two results over the same events, by account.

    Attributes:
        first: The first result.
        second: The second one.
    """

    def __init__(self, differences: run_diff.Differences, first: Result, second: Result) -> None:
        super().__init__(run_diff.differences_report(differences))
        self.first, self.second = first, second
        self._differences = differences

    @property
    def table(self) -> pa.Table:
        """One row an account that differs: kind of change, worst outcomes, first actions, label."""
        changes = self._differences.changes
        return pa.table({
            "account": pa.array([c.account for c in changes], pa.string()),
            "change": pa.array([c.kind for c in changes], pa.string()),
            "first": pa.array([c.champion.worst for c in changes], pa.string()),
            "second": pa.array([c.challenger.worst for c in changes], pa.string()),
            "first_action": pa.array([c.champion.action_ms for c in changes], _TIME),
            "second_action": pa.array([c.challenger.action_ms for c in changes], _TIME),
            "label": pa.array([c.label for c in changes], pa.string()),
            "family": pa.array([c.family for c in changes], pa.string()),
        })  # fmt: skip


def decide(
    source: Events | str | Path | Any,
    policy: Policy | None = None,
    *,
    enforce: bool = False,
    model: Model | str | Path | None = None,
    out: str | Path | None = None,
    allow_identifiers: bool = False,
    progress: Progress = True,
    **options: Any,
) -> Result:
    """Decide on events, as `wavebreak run` does: the same decisions, to the byte.

    Args:
        source: Events of `events` or `read_events`, or anything that these take.
        policy: The rules (None: the shipped ones).
        enforce: Drop the events that a decision refuses; otherwise decisions have no effect.
        model: A model, or the directory of a model (None: rules alone).
        out: Directory for the files of the run (None: a private one, which ends with the result).
        allow_identifiers: Do not warn of ids that look like phone numbers, addresses or text.
        progress: Whether a bar shows how far it is, or a function that takes the share done (0 to
            1) and a text.
        **options: What else `wavebreak.engine.run` takes: `workers`, `batch`, `lateness_s`,
            `profile_path`, `resume`, `keep`, `ceiling`, `sealer`.

    Returns:
        The decisions, accounts, operators and refused events.

    Raises:
        Error: The events cannot be read.

    Example:
        >>> import wavebreak as wb
        >>> result = wb.decide(wb.example_events())  # doctest: +SKIP
        >>> result.decisions.num_rows                # doctest: +SKIP
        95
    """
    events = as_events(source)
    with _output(out) as directory, show_progress("decide", progress) as show:
        engine.run(
            events.source,
            directory,
            policy or load_policy(),
            events.pseudonymizer(),
            enforce=enforce,
            model=_load_model(model),
            progress=_progress_callback(show),
            **options,
        )
    result = Result(directory, is_private=out is None, key=events.key)
    if not allow_identifiers:
        result._warn_of_identifiers()
    return result


def evaluate(
    results: Result | Sequence[Result],
    labels: Labels | None = None,
    *,
    exclude: Collection[str] = (),
) -> Report:
    """Measure decisions against labels: accounts stopped, how soon, and honest people refused.

    Args:
        results: A result, or several that are counted together.
        labels: Abusive accounts: a CSV, or a table with the columns account, label (abusive or
            benign), family and operator. Default: labels.csv beside each result's events.
        exclude: Families that are left out of all counts.

    Returns:
        The measures with intervals (95 %, Clopper-Pearson), by family and persona.

    Raises:
        Error: There are no labels, or they name no account of the result.
    """
    evaluated = [results] if isinstance(results, Result) else results
    with _labels_file(labels) as path:
        runs = [(r.directory, path or evaluation.labels_path(r.directory)) for r in evaluated]
        return Report(evaluation.evaluation_report(evaluation.evaluate_all(runs, exclude)))


def compare(
    source: Events | str | Path | Any,
    first: Policy,
    second: Policy,
    *,
    enforce: bool = False,
    labels: Labels | None = None,
    progress: Progress = True,
) -> Comparison:
    """Decide on events under two policies, and list the accounts that change.

    Args:
        source: Events of `events` or `read_events`, or anything that these take.
        first: A policy.
        second: Another.
        enforce: As of `decide`.
        labels: Labels of accounts, if known.
        progress: As of `decide`.

    Returns:
        The changes in words, and as a table (`.table`).

    Raises:
        Error: The events cannot be read.
    """
    result = decide(source, first, enforce=enforce, progress=progress)
    return result.replay(second, labels=labels, progress=progress)


def assess(
    source: Events | str | Path | Any,
    policy: Policy | None = None,
    *,
    model: Model | str | Path | None = None,
    labels: Labels | None = None,
    workers: int = 1,
    progress: Progress = True,
) -> Assessment:
    """Assess your own data in shadow: likely enforcement, false positives, and missing data.

    Args:
        source: Events of `events` or `read_events`, or anything that these take.
        policy: The rules (None: the shipped ones).
        model: A model, or the directory of a model (None: rules alone).
        labels: Labels of accounts; without, an account that strangers answer counts as honest.
        workers: Threads.
        progress: As of `decide`.

    Returns:
        The page, with pseudonyms; `.names` gives the accounts.

    Raises:
        Error: The events cannot be read, or none is valid.
    """
    events = as_events(source)
    with show_progress("assess", progress) as show, _labels_file(labels) as path:
        show(0.0, "starting")
        settings = measurement.Options(
            policy or load_policy(), _load_model(model), events.key, labels=path,
            ip_database=events.ip_database, workers=workers,
        )  # fmt: skip
        return Assessment(*assessment.assess(events.source, settings, show))


class Assessment(Report):
    """Effect of the policy on a platform's own data.

    Attributes:
        names: Account by pseudonym, of the accounts that the page shows.
    """

    def __init__(self, result: measurement.Assessment, pseudonyms: Any) -> None:
        super().__init__(
            assessment.assessment_report(result),
            assessment.assessment_report(result, is_brief=True),
        )
        accounts_met = {account.account for account in result.met}
        accounts_met.update(
            account for operator in result.operators for account in operator.accounts
        )
        self.names = {
            name: account for name, account in pseudonyms.accounts() if name in accounts_met
        }


def summary_report(counts: Mapping[str, Any]) -> reporting.Report:
    """Return the summary of a run: events, decisions by outcome, limits of the result.

    Args:
        counts: The content of the run's `summary.json`.
    """
    rows = [(name, f"{counts[name]:,}") for name in _COUNT_KEYS]
    rows += [
        (f"decisions: {outcome}", f"{count:,}")
        for outcome in reversed(BY_RANK)
        if (count := counts["decisions"]["outcome"].get(outcome))
    ]
    notes = [
        f"refused, {cause.replace('_', ' ')}: {count:,}"
        for cause, count in counts["refused_by_cause"].items()
    ]
    if disabled := counts["rules_not_covered"]:
        notes.append(
            f"{count_of(len(disabled), 'rule')} off, because the stream lacks fields that they "
            f"read: {', '.join(disabled)}."
        )
    mode = "enforce" if counts["mode"] == "enforce" else "shadow: nothing was refused"
    title = f"{counts['events']:,} events in {counts['seconds']:.1f} s"
    table = Table("", ("events and decisions", "count"), rows)
    blocks: list[Any] = [table, *([reporting.Text(notes, "warning")] if notes else [])]
    speed = f"{counts['events_per_s']:,} events/s, mode {mode}."
    return reporting.Report(title, [speed], [reporting.Section("", blocks)], data=counts)


@contextmanager
def _output(out: str | Path | None) -> Iterator[Path]:
    """Yield a directory for files; a temporary directory is removed on failure."""
    if out is not None:
        yield Path(out)
        return
    directory = Path(tempfile.mkdtemp(prefix="wavebreak-"))
    try:
        yield directory
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise


def _load_model(model: Model | str | Path | None) -> Model | None:
    return load_selected(str(model)) if isinstance(model, str | Path) else model


def _progress_callback(show: Callable[[float, str], None]) -> Callable[[engine.Progress], None]:
    def update(progress: engine.Progress) -> None:
        rate = progress.events / progress.seconds if progress.seconds else 0
        show(
            progress.share,
            f"{progress.events:,} events, {rate:,.0f}/s, {progress.decisions:,} decisions",
        )

    return update


@contextmanager
def _labels_file(labels: Labels | None) -> Iterator[Path | None]:
    """Yield the path of labels; a table is written to a private file first."""
    if not isinstance(labels, pa.Table):
        yield Path(labels) if labels is not None else None
        return
    with tempfile.TemporaryDirectory(prefix="wavebreak-") as private:
        path = Path(private) / "labels.csv"
        csv.write_csv(labels, path)
        yield path


def _read_lines(path: Path, schema: pa.Schema) -> pa.Table:
    """Read JSON Lines in the columns of a schema."""
    if not path.stat().st_size:
        return schema.empty_table()
    # Arrow's reader takes no whole numbers for times.
    plain = pa.schema([(f.name, _INTEGERS.get(f.type, f.type)) for f in schema])
    options = arrow_json.ParseOptions(explicit_schema=plain, unexpected_field_behavior="ignore")
    return arrow_json.read_json(path, parse_options=options).select(schema.names).cast(schema)
