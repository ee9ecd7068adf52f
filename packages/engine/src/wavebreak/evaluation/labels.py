"""Labels: abusive and benign accounts, with their family or persona; votes of several sources.

A label belongs to an account, never to a feature. An account is identified by name within a
world: two simulated worlds may use the same name for different accounts.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct

from wavebreak.errors import FileError, TrainingError
from wavebreak.schema.events import PERSONS, SOURCES

LABELS = ("abusive", "benign")
WITHDRAWN = "undetermined"
"""In place of a label: withdraws what was said of the account before."""
UNNAMED = "unnamed"


@dataclass(frozen=True)
class Label:
    """One line of a labels file."""

    account: str
    label: str
    family: str
    operator: str


def read_labels(path: Path) -> list[Label]:
    """Read a labels file: a CSV with the header `account,label,family,operator`.

    A line may be repeated. The column `operator` is optional. A line with the label `undetermined`
    withdraws the account's earlier lines.

    Raises:
        FileError: A column is missing, a label is neither abusive, benign nor undetermined, or two
            lines disagree about one account.
    """
    labels: dict[str, tuple[int, Label]] = {}
    for line, row in label_rows(path, ("account", "label", "family")):
        label = Label(
            row["account"], row["label"], row["family"] or UNNAMED, row.get("operator", "")
        )
        if label.label == WITHDRAWN:
            labels.pop(label.account, None)
            continue
        first_line, first = labels.setdefault(label.account, (line, label))
        for name in ("label", "family", "operator"):
            if getattr(first, name) != getattr(label, name):
                raise FileError(
                    f"{path}: line {line}, field {name} contradicts line {first_line} "
                    "about the same account",
                    fix="keep one line for each account",
                )
    return [label for _, label in labels.values()]


def label_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows of a labels file with their line, without spaces at the ends of values.

    Args:
        path: A CSV with the columns `account` and `label`, and others.
        columns: The required columns.

    Raises:
        FileError: The file cannot be read, a column or a value is missing, an account is empty, or
            a label is neither abusive, benign nor undetermined.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines, restkey="beyond", strict=True)
            for column in columns:
                if column not in (rows.fieldnames or ()):
                    raise FileError(
                        f"{path}: line 1 has no column {column}",
                        fix="start the file with the header account,label,family,operator",
                    )
            for row in rows:
                yield rows.line_num, _checked_row(f"{path}: line {rows.line_num}", row, columns)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FileError(
            f"{path}: the labels cannot be read ({error})",
            fix="give a CSV file in UTF-8 with the header account,label,family,operator",
        ) from error


def _checked_row(line: str, row: dict[str, Any], columns: Sequence[str]) -> dict[str, str]:
    if "beyond" in row or None in (row[column] for column in columns):
        raise FileError(
            f"{line} has more or fewer values than the header has columns",
            fix="write one value for each column; quote a value that contains a comma",
        )
    values = {name: (value or "").strip() for name, value in row.items()}
    if not values["account"]:
        raise FileError(
            f"{line}, field account is empty", fix="write the account's id, or delete the line"
        )
    if values["label"] not in (*LABELS, WITHDRAWN):
        raise FileError(
            f"{line}, field label must be abusive or benign",
            fix="write abusive or benign in lower case; delete accounts of unknown kind",
        )
    return values


Key = tuple[str, str]
"""World ("" for the real one) and account."""

UNDATED = -1


class LabelSource(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A source of labels: the higher rank wins, the weight is the weight in the fit.

    A source with the weight 0 is ignored.
    """

    rank: Annotated[int, Meta(ge=1, le=10_000)]
    weight: Annotated[float, Meta(ge=0.0)]


@dataclass(frozen=True, slots=True)
class LabelVote:
    """Label of an account by a source; `ts` is the time of the label (ms), UNDATED if unknown.

    `label` is abusive, benign, or undetermined, which withdraws earlier votes on the account.
    """

    world: str
    account: str
    label: str
    family: str
    operator: str
    source: str
    ts: int = UNDATED


@dataclass(frozen=True, slots=True)
class ResolvedLabel:
    """The resolved label of an account, the source, and the weight."""

    abusive: bool
    family: str
    operator: str
    source: str
    weight: float
    ts: int


@dataclass(frozen=True)
class Labels:
    """Truths by account, and how they came about.

    `votes` counts by (source, label); `contradictions` by (taken source, its label, other
    source); `undecided` accounts had two words of one rank and time against each other.
    """

    resolved: dict[Key, ResolvedLabel]
    votes: Counter[tuple[str, str]] = field(default_factory=Counter)
    contradictions: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    undecided: int = 0


def resolve_votes(
    votes: Iterable[LabelVote], sources: Mapping[str, LabelSource], until: int | None = None
) -> Labels:
    """Take for each account the vote of the highest rank, and of one rank the latest.

    A vote `undetermined` withdraws the votes on its account before it, whoever cast them: of dated
    votes those up to its time, of undated ones those earlier in `votes`. That of a honeypot or a
    partner withdraws no person's. Sources without weight are not heard.
    Claims that became known after `until` (ms) are not heard. Family and operator come from the
    vote taken, or else from one that agrees with it. Raises `TrainingError` for a source that has
    no rank.
    """
    votes_by_account: dict[Key, list[LabelVote]] = {}
    result = Labels({})
    for vote in votes:
        if vote.source not in sources:
            raise TrainingError(
                "a label names a source that has no rank",
                fix=f"use one of {', '.join(sorted(sources))}, or give it a rank in training.toml",
            )
        if sources[vote.source].weight > 0 and (until is None or vote.ts <= until):
            votes_by_account.setdefault((vote.world, vote.account), []).append(vote)
    undecided = 0
    for key, cast in votes_by_account.items():
        valid = _not_withdrawn(cast)
        if not valid:
            continue
        valid.sort(key=lambda c: (-sources[c.source].rank, -c.ts))
        result.votes.update((c.source, c.label) for c in valid)
        winner = valid[0]
        opposing = [c for c in valid if c.label != winner.label]
        result.contradictions.update((winner.source, winner.label, c.source) for c in opposing)
        level = sources[winner.source].rank, winner.ts
        if any((sources[c.source].rank, c.ts) == level for c in opposing):
            undecided += 1
        else:
            result.resolved[key] = _resolved_label(winner, valid, sources[winner.source].weight)
    return Labels(result.resolved, result.votes, result.contradictions, undecided)


def _not_withdrawn(cast: list[LabelVote]) -> list[LabelVote]:
    """Return the votes on one account that no later `undetermined` withdraws, by their time."""
    valid: list[LabelVote] = []
    for vote in sorted(cast, key=lambda c: c.ts):
        if vote.label == WITHDRAWN:
            valid = [c for c in valid if not _withdraws(vote, c)]
        else:
            valid.append(vote)
    return valid


def _withdraws(vote: LabelVote, earlier: LabelVote) -> bool:
    is_automatic = vote.source in SOURCES and vote.source not in PERSONS
    same_order = (earlier.ts == UNDATED) == (vote.ts == UNDATED)
    return same_order and not (is_automatic and earlier.source in PERSONS)


def _resolved_label(winner: LabelVote, valid: list[LabelVote], weight: float) -> ResolvedLabel:
    agreeing = [c for c in valid if c.label == winner.label]
    family = next((c.family for c in agreeing if c.family not in ("", UNNAMED)), UNNAMED)
    operator = next((c.operator for c in agreeing if c.operator), "")
    return ResolvedLabel(
        winner.label == "abusive", family, operator, winner.source, weight, winner.ts
    )


def read_votes(path: Path, world: str = "") -> list[LabelVote]:
    """Read a labels file: `account,label,family,operator`, optionally `source` and `ts` (ms).

    Lines may contradict each other, which `resolve_votes` settles.

    Raises:
        FileError: As for `label_rows`, or a time is not a whole number.
    """
    votes = []
    for line, row in label_rows(path, ("account", "label")):
        ts = row.get("ts", "")
        if ts and not ts.isdigit():
            raise FileError(
                f"{path}: line {line}, field ts is not a whole number",
                fix="give milliseconds since 1970, or leave it empty",
            )
        votes.append(
            LabelVote(
                world,
                row["account"],
                row["label"],
                row.get("family", "") or UNNAMED,
                row.get("operator", ""),
                row.get("source", "") or "file",
                int(ts) if ts else UNDATED,
            )
        )
    return votes
