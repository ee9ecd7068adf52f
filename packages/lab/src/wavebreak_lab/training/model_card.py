"""The model card: the report of a trained model.

After Mitchell et al., Model Cards for Model Reporting (FAT* 2019).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from wavebreak import __version__
from wavebreak.evaluation import exact_interval
from wavebreak.evaluation.scoring_points import NOT_INPUTS, SIGNS
from wavebreak.model import ONE
from wavebreak.reports.charts import Chart, Curves, Line
from wavebreak.reports.report import KeyFigure, Report, Section, Text
from wavebreak.reports.tables import Table, count_of, interval, number, percent
from wavebreak_lab.training.evaluation import (
    GroupMetrics,
    ModelEvaluation,
    Recall,
    ScoreMetrics,
    as_json,
)
from wavebreak_lab.training.trainer import TrainingResult

SHOWN_OUTCOMES = ("challenge", "restrict", "suspend", "ban")
MIN_FALSE_SHARE, MIN_PROBABILITY = 1e-4, 1e-7
"""Smallest values of logarithmic axes."""


def training_report(
    learned: TrainingResult, tested: ModelEvaluation, left_out: Sequence[Table] = ()
) -> Report:
    """Return the card of a model as a report.

    Args:
        learned: The result of the training.
        tested: The model's evaluation.
        left_out: Tables of personas and families left out (`leave_one_out.result_tables`).
    """
    prevalence = learned.settings.calibration.prevalence

    def metrics_section(
        heading: str, title: str, metrics: Mapping[str, ScoreMetrics], page_only: bool = False
    ) -> Section:
        blocks = [metrics_table(title, metrics, prevalence)] if metrics else []
        return Section(heading, blocks, page_only)

    accuracy = metrics_section("How well it tells accounts apart", "The model", tested.measured)
    sections = [
        Section(accuracy.title, [*accuracy.blocks, *_curves(tested)]),
        metrics_section(
            "Beside the simplest", "Baselines, accounts held out", tested.baselines
        ),
        Section("Where it acts", [thresholds_table(learned), actions_table(tested, learned)]),
        Section("What a probability of it means", _reliability(learned, tested), page_only=True),
        Section("By family and persona", _groups(tested), page_only=True),
        metrics_section(
            "Where the stream carries less", "The same accounts", tested.masked, page_only=True
        ),
        Section("People and attackers it never saw", left_out, page_only=True),
        Section("What it reads", [importance_table(learned, tested), *input_tables()],
                page_only=True),
        Section("What it was learned from", [splits_table(tested)]),
        Section("Labels", _origin(learned), page_only=True),
        Section("Drift baseline", [Text([_baseline_sentence(learned)])], page_only=True),
        Section("Made with", [Text(_versions(learned), "note")], page_only=True),
    ]  # fmt: skip
    figures = []
    if best := tested.headline():
        where, metrics = best
        few = metrics.recalls[-1]
        figures = [
            KeyFigure("AUC", f"{metrics.auc:.4f}", where),
            KeyFigure(
                "Abusive accounts reached",
                percent(few.share),
                f"where {percent(few.rate)} of benign ones are",
            ),
        ]
    return Report(
        f"Model {learned.model.version}",
        summary(learned, tested),
        sections,
        figures,
        data=as_json(learned, tested),
    )


def metrics_table(title: str, measured: Mapping[str, ScoreMetrics], prevalence: float) -> Table:
    """Curves in numbers, one row a set."""
    first = next(iter(measured.values()))
    return Table(
        title,
        (
            "on",
            "AUC",
            "average\nprecision",
            *(f"recall at\n{percent(r.rate)} false" for r in first.recalls),
            *(f"precision\nat {percent(r.rate)}" for r in first.recalls),
        ),
        [
            (
                name,
                f"{m.auc:.4f}",
                f"{m.average_precision:.4f}\n{m.reweighted:.4f}",
                *(_recall(r) for r in m.recalls),
                *(percent(r.precision) for r in m.recalls),
            )
            for name, m in measured.items()
        ],
        "Accounts count once, at their highest score; below a recall its counts, abusive and "
        "benign. The second average precision, and precision, are re-weighted to "
        f"{100 * prevalence:g} % abusive accounts; where no benign account is reached, one is "
        "counted.",
    )


def _recall(recall: Recall) -> str:
    return (
        f"{percent(recall.share)}\n{number(recall.caught)}/{number(recall.abusive)}\n"
        f"{number(recall.false)}/{number(recall.benign)}"
    )


def thresholds_table(learned: TrainingResult) -> Table:
    """Where each outcome begins, and what that rests on."""
    level = learned.model.calibration
    rows = []
    for outcome, t in learned.thresholds.items():
        share = 1 / t.tolerance
        rows.append(
            (
                outcome,
                f"{t.at / ONE:.3f}",
                f"{level.probability([t.at])[0]:.2g}",
                f"1 in {share:,.0f}",
                f"{t.bound:.2g}" + ("\nnot shown" if t.short else ""),
                "–" if t.counted == "accounts" else f"{number(t.false)}/{number(t.points)}",
                t.masked,
                f"{number(t.false_accounts)}/{number(t.accounts)}",
                t.needed,
            )
        )
    return Table(
        "Thresholds",
        (
            "outcome",
            "margin",
            "proba-\nbility",
            "tolerance",
            "bound",
            "false\npoints",
            "on masked\nstreams",
            "false\naccounts",
            "clean ones\nneeded" if learned.small_population else "clean points\nneeded",
        ),
        rows,
        f"Benign accounts and points of calibration alone; the bound is Clopper and Pearson's, "
        f"one-sided, {100 * learned.settings.tolerance.confidence:g} %. Points of one account are "
        "not independent: read the accounts beside them. On masked streams: the same points, each "
        "account as a stream that carries less would show it; the tolerance is kept there too."
        + _small_population_note(learned),
    )


def _small_population_note(learned: TrainingResult) -> str:
    if not learned.small_population:
        return ""
    counted = " Where no points are given accounts count, each once: those that had started a chat."
    if not learned.folds:
        return counted
    return f"{counted} Each of {learned.folds} parts was held against the trees of the others."


def small_population_notes(learned: TrainingResult) -> list[str]:
    """Say plainly how thresholds were found where people are few, and what that rests on."""
    if not learned.small_population:
        return []
    hard = learned.thresholds["restrict"]
    lines = [
        "People are few. "
        + (
            f"All accounts but the test's calibrate, {learned.folds} parts each by trees of the "
            "others. "
            if learned.folds
            else ""
        )
        + f"A challenge and what is harder begin above all {hard.accounts:,} benign accounts that "
        "had started a chat"
        + (
            f"; of who has started none a score asks for `{learned.model.silent}` at most."
            if learned.model.silent
            else "."
        )
    ]
    if learned.suspected:
        lines.append(
            f"{len(learned.suspected):,} accounts without a label were taken for benign and look "
            "abusive. Review them first, and train again with the votes: suspected.csv."
        )
    return lines


def unmet_tolerances(learned: TrainingResult) -> list[str]:
    """Name the tolerances that the data could not show."""
    sentences = []
    for unit, name in (("points", "scoring points"), ("accounts", "accounts")):
        unmet = [t for t in learned.thresholds.values() if t.short and t.counted == unit]
        if unmet:
            needed, bound = max(t.needed for t in unmet), max(t.bound for t in unmet)
            sentences.append(
                f"Too few benign {name} for {', '.join(t.outcome for t in unmet)}: "
                f"{unmet[0].points:,} were there, {needed:,} without a fault are needed. Their "
                f"threshold lies just above all that were seen, which shows no more than one "
                f"false action in {1 / bound:,.0f}."
            )
    return [" ".join(sentences)] if sentences else []


def actions_table(tested: ModelEvaluation, learned: TrainingResult) -> Table:
    """Confusion at the thresholds, on accounts and points held out."""
    side = tested.splits["test"]
    bad, good = side["abusive accounts"], side["benign accounts"]
    rows = [
        (
            outcome,
            f"{number(n['abusive accounts'])}/{number(bad)}",
            percent(n["abusive accounts"] / bad) if bad else "–",
            f"{number(n['benign accounts'])}/{number(good)}",
            n["abusive points"],
            n["benign points"],
        )
        for outcome, n in tested.actions.items()
    ]
    return Table(
        "At the thresholds, on operators held out",
        (
            "at least",
            "abusive\naccounts",
            "share",
            "benign\naccounts",
            "abusive\npoints",
            "benign\npoints",
        ),
        rows,
        "The score alone, without rules: what it reaches, not yet what is done. Points after rules "
        "had restricted an account are left out.",
    )


def groups_table(title: str, groups: list[GroupMetrics]) -> Table:
    """Families or personas held out."""
    return Table(
        title,
        ("name", "accounts", "points", *SHOWN_OUTCOMES, "at regis-\ntration", "median\npoint"),
        [
            (
                g.name,
                g.accounts,
                g.points,
                *(g.reached[outcome] for outcome in SHOWN_OUTCOMES),
                g.first,
                g.point,
            )
            for g in groups
        ],
        "Accounts that reach each threshold; those that reach a restriction at registration, and "
        "at which of their scoring points half of them had.",
    )


def splits_table(tested: ModelEvaluation) -> Table:
    """Splits, counted."""
    kinds = list(next(iter(tested.splits.values())))
    return Table(
        "Splits",
        ("side", *(kind.replace(" ", "\n", 1) for kind in kinds)),
        [(s, *(n[kind] for kind in kinds)) for s, n in tested.splits.items()],
        "By operator; an account without one is its own. No operator is on two splits. Points kept "
        "for later time are in no fit.",
    )


def label_tables(learned: TrainingResult) -> list[Table]:
    """Label sources, and how contradictions were resolved."""
    labels = learned.labels
    ranks = learned.settings.sources
    tables = [
        Table(
            "Labels",
            ("source", "label", "votes", "rank", "weight"),
            [
                (source, label, n, ranks[source].rank, number(ranks[source].weight, 2))
                for (source, label), n in sorted(labels.votes.items())
            ],
            f"{labels.undecided:,} accounts had two words of one rank against each other and are "
            "left out.",
            frozenset({0, 1}),
        )
    ]
    if labels.contradictions:
        tables.append(
            Table(
                "Contradictions",
                ("taken", "as", "against", "votes"),
                [(*names, n) for names, n in sorted(labels.contradictions.items())],
                "Resolved by rank, then by the later word.",
                frozenset({0, 1, 2}),
            )
        )
    return tables


def importance_table(learned: TrainingResult, tested: ModelEvaluation) -> Table:
    """Features by gain, with their sign and what each does alone."""
    total = sum(tested.gains.values()) or 1.0
    return Table(
        "Features by gain",
        ("feature", "gain", "alone\n(AUC)", "may only\nmove"),
        [
            (
                name,
                percent(gain / total),
                f"{learned.aucs[name]:.3f}",
                {1: "up", -1: "down", 0: ""}[SIGNS.get(name, (0, ""))[0]],
            )
            for name, gain in tested.gains.items()
        ],
        f"Of {len(learned.points.names)} inputs; those without a split are left out. AUC of each "
        "alone: scoring points of operators not in the fit, weighed as in the fit.",
        frozenset({0, 3}),
    )


def input_tables() -> list[Table]:
    """What the model may not read, and in which direction it may read what it may."""
    words = frozenset({0, 1, 2})
    return [
        Table("Never read", ("feature", "why"), list(NOT_INPUTS.items()), words=words),
        Table(
            "Directions that are kept",
            ("feature", "up in it", "why"),
            [
                (name, "more suspect" if sign > 0 else "less suspect", why)
                for name, (sign, why) in SIGNS.items()
            ],
            words=words,
        ),
    ]


def _curves(tested: ModelEvaluation) -> list[Chart]:
    if not tested.curves:
        return []
    precision = Curves(
        "pr",
        "Precision against recall, accounts held out",
        "Accounts of operators held out, at their highest score, at their own share of abusive "
        "accounts.",
        [Line(name, *lines["pr"]) for name, lines in tested.curves.items()],
        across="recall",
        up="precision",
    )
    recall = Curves(
        "roc",
        "Recall against the share of false alarms, accounts held out",
        "The same accounts; where no benign account is reached yet is at the left edge.",
        [
            Line(name, _log10(lines["roc"][0], MIN_FALSE_SHARE), lines["roc"][1])
            for name, lines in tested.curves.items()
        ],
        across="share of benign accounts reached, log10",
        up="recall",
    )
    return [precision, recall]


def _log10(values: Sequence[float], minimum: float = MIN_PROBABILITY) -> list[float]:
    return [math.log10(max(value, minimum)) for value in values]


def summary(learned: TrainingResult, tested: ModelEvaluation) -> list[str]:
    """The card in a few sentences."""
    best = tested.headline()
    lines = [
        f"Gradient-boosted trees ({count_of(len(learned.model.forest.trees), 'tree')}) over "
        f"{len(learned.points.names)} features of metadata, for accounts of a messenger."
    ]
    if best is None:
        lines.append(
            "No operator of one label or the other was left for a test: a family's only operator "
            "is learned from. Give labels of more operators, or more runs."
        )
    else:
        where, measured = best
        few = measured.recalls[-1]
        ends = interval(*exact_interval(few.caught, few.abusive))
        lines.append(
            f"On {where}: AUC {measured.auc:.4f}; where at most {percent(few.rate)} of benign "
            f"accounts are reached, so are {percent(few.share)} of abusive ones "
            f"({number(few.caught)} of {number(few.abusive)}; 95 %: {ends})."
        )
    lines.append(
        "A score is doubt: it may slow an account (fewer new chats with strangers a day), never "
        "restrict one."
    )
    if support := learned.model.support:
        lines.append(
            f"It abstains where more than {support.most} of {len(support.ranges)} features of an "
            "account's surroundings lie outside its training data."
        )
        if support.newcomers:
            lines.append(
                f"In the first 30 days of a log it abstains while more than "
                f"{percent(support.newcomers)} of active accounts registered within a week: it "
                "was trained on settled platforms."
            )
    return lines + small_population_notes(learned) + unmet_tolerances(learned)


def _reliability(learned: TrainingResult, tested: ModelEvaluation) -> list[Text | Chart]:
    share = 100 * learned.settings.calibration.prevalence
    text = (
        f"Probabilities are stated for {share:g} % abusive accounts, by isotonic regression on "
        "operators that the fit never saw, each account counting once "
        f"({count_of(len(learned.model.calibration.levels), 'step')}). Where more or fewer "
        "accounts are abusive, odds move by the same factor."
    )
    if not tested.reliability:
        return [Text([text])]
    stated, observed = zip(*((s, o) for s, o, _ in tested.reliability), strict=True)
    ends = _log10([min(stated), max(*stated, MIN_PROBABILITY)])
    chart = Curves(
        "reliability",
        "What was said and what was, scoring points held out",
        f"Both at {share:g} % abusive accounts; bins hold alike many abusive points.",
        [
            Line("model", _log10(stated), _log10(observed)),
            Line("as it should be", ends, ends, guide=True),
        ],
        across="probability said, log10",
        up="share observed, log10",
        marks=True,
    )
    return [Text([text]), chart]


def _groups(tested: ModelEvaluation) -> list[Table | Text]:
    groups = {"Abusive families, held out": tested.families}
    groups["Benign personas, held out"] = tested.personas
    tables = [groups_table(title, group) for title, group in groups.items() if group]
    return [*tables] or [Text(["None was held out."])]


def _origin(learned: TrainingResult) -> list[Table | Text]:
    lines = [f"Left out, {why}: {count_of(n, 'point')}." for why, n in learned.left_out.items()]
    if learned.allowed:
        lines.append(f"Let pass although good alone: {', '.join(learned.allowed)}.")
    return [*label_tables(learned), Text(lines)]


def _baseline_sentence(learned: TrainingResult) -> str:
    return (
        f"baseline.json holds {len(learned.spreads)} spreads in at most "
        f"{learned.settings.baseline.bins} bins each, over "
        f"{count_of(len(learned.points), 'point')} of training; a stream is held "
        "against them by the population stability index."
    )


def _versions(learned: TrainingResult) -> list[str]:
    model, notes = learned.model, learned.model.training["notes"]
    entries = [f"{name} {value}" for name, value in notes.items() if isinstance(value, str | int)]
    return [
        f"wavebreak {__version__}; seed {model.seed}; {'; '.join(entries)}.",
        f"Training set {model.training_digest}.",
        *(f"Log {digest}." for digest in notes.get("logs", [])),
    ]
