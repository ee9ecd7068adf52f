"""Labels by reviewers on request: choice of accounts, estimates from the answers, and the line.

Where strangers hardly ever complain, convictions teach nothing. So a platform asks its reviewers
each week about some sixty accounts. Two thirds are drawn by first messages and by the rank of a
prior score that needs no label; a third is a uniform control of active senders. Both draws have
known chances, so shares of everybody follow from the answers (Horvitz and Thompson 1952; ratios as
by Hájek 1971), with Wilson's interval on Kish's effective number of accounts.

The line needs the share of honest senders above it. A logistic curve through the reviewed accounts,
by scores that saw nothing of their operator, says how abusive an account of a score is. Its height
is shifted from the reviewed accounts to everybody (Saerens, Latinne and Decaestecker 2002,
"Adjusting the outputs of a classifier to new a priori probabilities"), within the interval of the
answers.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from wavebreak.csv_files import csv_cell, encode_csv
from wavebreak.errors import FileError
from wavebreak.evaluation.labels import label_rows

if TYPE_CHECKING:
    from wavebreak.evaluation.home_learning import HomeDays

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

MAX_QUESTIONS = 1000
"""Accounts in a week's questions: as many labels as one request may carry."""
MIN_FIRST_MESSAGES = 2
"""A sender is active from so many first messages on."""
CHOSEN_SHARE = 2 / 3
"""The share of questions that are drawn by volume and prior score."""
MIN_ABUSIVE, MIN_BENIGN = 8, 20
"""Below so many reviewed accounts of a label there is no line."""
MIN_ABOVE = 0.4
"""Where less of the reviewed abusive accounts lies above a line, it rests on the tail of the curve:
no line."""
SECOND_LOOKS = 8
"""Answers that the scores contradict most: a second reviewer is asked."""
Z_95 = 1.959964


class Question(Struct, frozen=True, kw_only=True):
    """An account in a question to reviewers, without the score.

    Attributes:
        account: The account.
        chance: The chance of being drawn (0: a second look, which was not drawn).
        stratum: Drawn by volume and prior score, by the uniform control, or asked again.
    """

    account: str
    chance: Annotated[float, Meta(ge=0, le=1)]
    stratum: Literal["chosen", "control", "again"]


class Share(Struct, frozen=True):
    """A share, the 95 % interval, and the number of accounts behind."""

    share: float
    low: float
    high: float
    accounts: int

    def __str__(self) -> str:
        """Return the share and its interval in per cent."""
        return f"{self.share:.1%} ({self.low:.1%}–{self.high:.1%})"


class Answers(Struct, frozen=True, kw_only=True):
    """Estimates for all accounts from the answers of reviewers.

    Attributes:
        abusive: Reviewed accounts that are abusive.
        benign: Reviewed accounts that are not.
        senders: Share of active senders that are abusive.
        answered: Share of abusers among the accounts that count as honest since strangers answer.
        first_messages: Share of first messages that abusers send.
        height: The same, as the line is drawn with it: shifted from the answers to everybody.
        refused: Share of honest first messages above the line, by the reviewed accounts alone.
        too_weak: The reason why enough answers still give no line; "" otherwise.
    """

    abusive: int
    benign: int
    senders: Share
    answered: Share
    first_messages: Share
    height: float | None = None
    refused: Share | None = None
    too_weak: str = ""

    @property
    def too_few(self) -> str:
        """Say why the answers give no line; "" where they do."""
        if self.abusive >= MIN_ABUSIVE and self.benign >= MIN_BENIGN:
            return ""
        return (
            f"Too few answers of reviewers: {self.abusive} abusive and {self.benign} benign "
            f"accounts; {MIN_ABUSIVE} and {MIN_BENIGN} are needed."
        )


# Whom to ask about


def choose_questions(
    days: HomeDays, number: int, seed: int = 0, known: Collection[str] = ()
) -> tuple[Question, ...]:
    """Draw accounts to ask about; at most one of an operator, in random order.

    Args:
        days: The days.
        number: How many accounts, about; one that both draws meet is asked about once.
        seed: The same days and seed give the same accounts.
        known: Accounts of earlier questions, whose operators are not asked about again.
    """
    rng = np.random.default_rng([seed, days.end_ms])
    names = [name for _, name in days.points.accounts]
    first_messages, prior = days.first_messages, prior_scores(days)
    asked_operators = {int(days.operator[n]) for n, name in enumerate(names) if name in set(known)}
    active = np.flatnonzero(
        (first_messages >= MIN_FIRST_MESSAGES) & ~np.isin(days.operator, [*asked_operators])
    )
    if not active.size:
        return ()
    # One account stands for its operator; its chance is the smaller for that.
    _, first, sizes = np.unique(
        days.operator[mixed := rng.permutation(active)], return_index=True, return_counts=True
    )
    frame = mixed[first]
    rank = np.argsort(np.argsort(prior[frame], kind="stable")) / frame.size
    chosen_number = round(number * CHOSEN_SHARE)
    by_prior, prior_chance = draw(first_messages[frame] * (0.1 + rank**3), chosen_number, rng)
    control, control_chance = draw(np.ones(frame.size), number - chosen_number, rng)
    chance = (1 - (1 - prior_chance) * (1 - control_chance)) / sizes
    uniform = set(control.tolist())
    return tuple(
        Question(
            account=names[frame[n]],
            chance=float(chance[n]),
            stratum="control" if n in uniform else "chosen",
        )
        for n in rng.permutation(np.union1d(by_prior, control)).tolist()
    )


def draw(size: Floats, number: int, rng: np.random.Generator) -> tuple[Ints, Floats]:
    """Draw about `number` places with chances in proportion to a size, at most 1; return both.

    Systematic sampling in random order (Madow 1949): the chances hold exactly.
    """
    if number >= size.size:
        return np.arange(size.size), np.ones(size.size)
    chance = np.zeros(size.size)
    certain = np.zeros(size.size, bool)
    while True:
        free = number - int(certain.sum())
        chance = np.where(certain, 1.0, free * size / size[~certain].sum())
        is_above = (chance > 1) & ~certain
        if not is_above.any():
            break
        certain |= is_above
    order = rng.permutation(size.size)
    steps = np.floor(np.cumsum(chance[order]) + rng.random())
    return np.sort(order[np.diff(steps, prepend=0.0) >= 1]), chance


def prior_scores(days: HomeDays) -> Floats:
    """Return a score of each account without labels: unanswered, and without inbound chats."""
    rows = np.ones(len(days.points), bool)
    inbound_column = days.points.values[:, days.points.names.index("inbound_chats")]
    inbound = days.of_accounts(np.nan_to_num(inbound_column), rows)
    first_messages, answers = days.first_messages, days.of_accounts(days.answers, rows)
    unanswered = np.maximum(first_messages - answers, 0.0)
    return np.asarray(
        np.log1p(unanswered)
        * np.clip(unanswered / np.maximum(first_messages, 1.0), 0.05, 1.0)
        * (1.0 - np.clip(inbound / np.maximum(inbound + first_messages, 1.0), 0.0, 0.95)),
        np.float64,
    )


# What the answers say


def estimate_share(hits: Bools, weights: Floats) -> Share:
    """Estimate a share of everybody from accounts drawn with known chances.

    Args:
        hits: Whether each account counts.
        weights: What each stands for: 1 / chance, times its first messages where these are meant.

    >>> estimate_share(np.array([True, False]), np.array([1.0, 1.0])).share
    0.5
    """
    total = float(weights.sum())
    if total <= 0:
        return Share(0.0, 0.0, 1.0, 0)
    share = float(weights[hits].sum()) / total
    number = total**2 / float((weights**2).sum())
    middle = (share + Z_95**2 / (2 * number)) / (1 + Z_95**2 / number)
    deviation = math.sqrt(share * (1 - share) / number + (Z_95 / (2 * number)) ** 2)
    half = Z_95 * deviation / (1 + Z_95**2 / number)
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return Share(round(share, 4), round(low, 4), round(high, 4), len(hits))


def summarise(days: HomeDays, abusive: Bools, reviewed: Bools, answered_rows: Bools) -> Answers:
    """Estimate shares of everybody from the reviewed accounts; masks by account."""
    accounts = np.flatnonzero(reviewed & (days.chance > 0))
    bad, weight, first_messages = (
        abusive[accounts],
        1 / days.chance[accounts],
        days.first_messages[accounts],
    )
    is_answered = answered_rows[accounts]
    return Answers(
        abusive=int((abusive & reviewed).sum()),
        benign=int((reviewed & ~abusive).sum()),
        senders=estimate_share(bad, weight),
        answered=estimate_share(bad[is_answered], weight[is_answered]),
        first_messages=estimate_share(bad, weight * first_messages),
    )


def estimate_refused(margins: Floats, line: float, days: HomeDays, benign: Bools) -> Share:
    """Estimate the share of honest first messages above a line, by the reviewed honest accounts."""
    account = days.points.account
    mine = np.flatnonzero(benign & (days.chance > 0))
    first_messages = days.first_messages
    refused_messages = np.bincount(account, days.opened * (margins >= line), first_messages.size)[
        mine
    ]
    weight = first_messages[mine] / days.chance[mine]
    share = float((refused_messages / days.chance[mine]).sum() / max(weight.sum(), 1e-9))
    # Of one account some messages are above and some below: the interval is that of accounts.
    interval = estimate_share(refused_messages > 0, weight)
    return Share(round(share, 4), min(interval.low, round(share, 4)), interval.high, mine.size)


# The line


@dataclass(frozen=True)
class Curve:
    """The chance that an account is abusive, by margin: a logistic curve."""

    slope: float
    offset: float

    def honest(self, margins: Floats) -> Floats:
        """Return the chance that an account of a margin is honest."""
        odds = np.clip(self.slope * margins + self.offset, -40, 40)
        return np.asarray(1 / (1 + np.exp(odds)), np.float64)


def fit_curve(
    margins: Floats, days: HomeDays, abusive: Bools, reviewed: Bools, within: Share
) -> tuple[Curve, float]:
    """Fit the curve through reviewed accounts, and shift the height to all accounts.

    Args:
        margins: Of each point, by a fit without data of the account's operator.
        days: The days.
        abusive: Abusive ones among the reviewed accounts.
        reviewed: Reviewed accounts.
        within: The share of first messages that abusers send, by the answers.

    Returns:
        The curve, and that share after the shift.
    """
    account = days.points.account
    rows = reviewed[account] & (days.opened > 0)
    bad = abusive[account][rows].astype(np.float64)
    # Each account counts alike, and of its points each as many first messages as it sent.
    weights = days.opened[rows] / days.first_messages[account][rows]
    slope, offset = _logistic(margins[rows], bad, weights)
    # Without the share of abusers among the reviewed: what the margin itself says.
    offset -= math.log((weights @ bad) / (weights @ (1 - bad)))
    share, messages = within.share, days.opened
    for _ in range(200):
        share = min(max(share, within.low, 1e-4), within.high, 1 - 1e-4)
        curve = Curve(slope, offset + math.log(share / (1 - share)))
        before, share = share, 1 - float(np.average(curve.honest(margins), weights=messages))
        if abs(share - before) < 1e-6:
            break
    return curve, round(before, 4)


def _logistic(x: Floats, y: Floats, weights: Floats) -> tuple[float, float]:
    """Return slope and offset of a weighted logistic regression with a slight ridge (Newton)."""
    design = np.stack([x, np.ones_like(x)], axis=1)
    ridge = np.diag([0.01, 1e-6])
    beta = np.zeros(2)
    for _ in range(50):
        chance = 1 / (1 + np.exp(-np.clip(design @ beta, -30, 30)))
        gradient = design.T @ (weights * (y - chance)) - ridge @ beta
        bend = design.T @ (design * (weights * np.maximum(chance * (1 - chance), 1e-9))[:, None])
        step = np.linalg.solve(bend + ridge, gradient)
        beta += np.clip(step, -2, 2)
        if float(np.abs(step).max()) < 1e-9:
            break
    return float(beta[0]), float(beta[1])


def find_line(margins: Floats, days: HomeDays, curve: Curve, allowed: float) -> float:
    """Return the lowest margin above which lies at most a share of honest first messages."""
    is_first = days.opened > 0
    order = np.argsort(-margins[is_first], kind="stable")
    descending = margins[is_first][order]
    honest = (days.opened[is_first] * curve.honest(margins[is_first]))[order]
    exceeding = np.flatnonzero(np.cumsum(honest) > allowed * honest.sum())
    return (
        float(np.nextafter(descending[exceeding[0]], math.inf))
        if exceeding.size
        else float(descending[-1])
    )


def too_weak(margins: Floats, line: float, days: HomeDays, abusive: Bools) -> str:
    """Return the reason why a line must not act: too few abusive accounts above; else "".

    Args:
        margins: Of each point, by a fit without data of the account's operator.
        line: The line.
        days: The days.
        abusive: Reviewed accounts that are abusive.
    """
    above_count = days.of_accounts(margins >= line, days.opened > 0)[abusive].sum()
    if above_count >= MIN_ABOVE * abusive.sum():
        return ""
    return (
        f"The scores tell too few apart: the line would meet {above_count:.0f} of {abusive.sum()} "
        f"reviewed abusive accounts; {MIN_ABOVE:.0%} are needed. More answers may help."
    )


def most_contradicted(
    margins: Floats, days: HomeDays, abusive: Bools, reviewed: Bools
) -> tuple[str, ...]:
    """Return the reviewed accounts with the largest contradiction of score and answer, by label."""
    max_margins = np.full(len(reviewed), -np.inf)
    np.maximum.at(max_margins, days.points.account, margins)
    scored = reviewed & np.isfinite(max_margins)
    high = sorted(np.flatnonzero(scored & ~abusive).tolist(), key=lambda n: (-max_margins[n], n))
    low = sorted(np.flatnonzero(scored & abusive).tolist(), key=lambda n: (max_margins[n], n))
    half = SECOND_LOOKS // 2
    return tuple(days.points.accounts[n][1] for n in [*high[:half], *low[:half]])


# Questions and answers as files


def questions_csv(questions: Collection[Question]) -> str:
    """Return questions as CSV for a spreadsheet; reviewers fill in the column `label`."""
    header = ("account", "label", "by", "chance", "stratum")
    rows = ((q.account, "", "", f"{q.chance:.6g}", q.stratum) for q in questions)
    return encode_csv([header, *rows])


def read_answers(path: Path, questions: Collection[Question]) -> dict[str, tuple[str, str]]:
    """Read answers: a CSV with the columns `account` and `label`, and perhaps `by` and others.

    Args:
        path: The file.
        questions: The questions.

    Returns:
        Label and reviewer by account.

    Raises:
        FileError: The file is not well formed, or a line answers for an account that was not asked
            about or has an answer already, or there are too many.
    """
    accounts = [question.account for question in questions]
    # An id that a spreadsheet would run came with an apostrophe; it may come back with it.
    account_of = {csv_cell(account): account for account in accounts}
    account_of |= {account: account for account in accounts}
    lines, answers = dict[str, int](), dict[str, tuple[str, str]]()
    for line, row in label_rows(path, ("account", "label")):
        account, label = account_of.get(row["account"]), row["label"]
        if account is None:
            raise FileError(
                f"{path}: line {line}: nobody was asked about the account {row['account'][:64]}",
                fix="keep the accounts that --ask wrote; label others by POST /v1/labels",
            )
        if account in lines:
            does = "repeats" if answers[account][0] == label else "contradicts"
            raise FileError(
                f"{path}: line {line} {does} line {lines[account]} about the same account",
                fix="keep one line for each account",
            )
        if len(answers) == MAX_QUESTIONS:
            raise FileError(
                f"{path}: line {line}: more than {MAX_QUESTIONS:,} answers",
                fix="give them in several files",
            )
        lines[account], answers[account] = line, (label, row.get("by", "")[:64])
    if not answers:
        raise FileError(f"{path} has no answer", fix="fill in the column label")
    return answers
