"""The model card: the report of a trained model.

After Mitchell et al., Model Cards for Model Reporting (FAT* 2019).
"""

from __future__ import annotations

from dataclasses import asdict

from wavebreak import __version__
from wavebreak.evaluation import exact_interval
from wavebreak.evaluation.scoring_points import SIGNS
from wavebreak.model import ONE
from wavebreak.reports.charts import Chart, Curves, Line
from wavebreak.reports.report import KeyFigure, Report, Section, Text
from wavebreak.reports.tables import Table, count_of, interval, number, percent
from wavebreak_lab.training.evaluation import ModelEvaluation
from wavebreak_lab.training.trainer import TrainingResult

SHOWN_OUTCOMES = ("challenge", "restrict", "suspend", "ban")


def training_report(result: TrainingResult, tested: ModelEvaluation) -> Report:
    """Return the card of a model as a report."""
    metrics = [_metrics_table(result, tested)] if tested.measured else []
    sections = [
        Section("How well it tells accounts apart", [*metrics, *_curve(tested)]),
        Section("Thresholds", [_thresholds_table(result), _actions_table(tested)]),
        Section("By family and persona", _groups(tested), page_only=True),
        Section("Inputs", [_gains_table(result)], page_only=True),
        Section("Training data", [_splits_table(tested)]),
        Section("Labels", _origin(result), page_only=True),
        Section("Made with", [Text(_versions(result), "note")], page_only=True),
    ]
    figures = []
    if best := tested.headline():
        set_name, evaluation = best
        recall = evaluation.recalls[-1]
        figures = [
            KeyFigure("AUC", f"{evaluation.auc:.4f}", set_name),
            KeyFigure(
                "Abusive accounts reached",
                percent(recall.share),
                f"where {percent(recall.rate)} of benign ones are",
            ),
        ]
    data = {
        "measured": {name: asdict(m) for name, m in tested.measured.items()},
        "actions": tested.actions,
        "splits": tested.splits,
        "left out": result.left_out,
    }
    title = f"Model {result.model.version}"
    return Report(title, summary(result, tested), sections, figures, data=data)


def summary(result: TrainingResult, tested: ModelEvaluation) -> list[str]:
    """Return the card in a few sentences."""
    best = tested.headline()
    lines = [
        f"Gradient-boosted trees ({count_of(len(result.model.forest.trees), 'tree')}) over "
        f"{len(result.points.names)} features of metadata, for accounts of a messenger."
    ]
    if best is None:
        lines.append(
            "No operator of one label or the other was left for a test: a family's only operator "
            "is learned from. Give labels of more operators, or more runs."
        )
    else:
        set_name, evaluation = best
        recall = evaluation.recalls[-1]
        ends = interval(*exact_interval(recall.caught, recall.abusive))
        lines.append(
            f"On {set_name}: AUC {evaluation.auc:.4f}; where at most {percent(recall.rate)} of "
            f"benign accounts are reached, so are {percent(recall.share)} of abusive ones "
            f"({number(recall.caught)} of {number(recall.abusive)}; 95 %: {ends})."
        )
    lines.append(
        "A score is doubt: it may slow an account (fewer new chats with strangers a day), never "
        'restrict one. It acts only under a policy with `mode = "enforce"` in [score] of '
        "actions.toml; under the shipped policy it is recorded."
    )
    return lines + unmet_tolerances(result)


def unmet_tolerances(result: TrainingResult) -> list[str]:
    """Return a sentence that names the tolerances that the data could not show, if any."""
    unmet = [t for t in result.thresholds.values() if t.is_short]
    if not unmet:
        return []
    min_points, upper = max(t.needed for t in unmet), max(t.bound for t in unmet)
    return [
        f"Too few benign scoring points for {', '.join(t.outcome for t in unmet)}: "
        f"{unmet[0].points:,} were there, {min_points:,} without a fault are needed. Their "
        f"threshold lies just above all that were seen, which shows no more than one false "
        f"action in {1 / upper:,.0f}."
    ]


def _metrics_table(result: TrainingResult, tested: ModelEvaluation) -> Table:
    first = next(iter(tested.measured.values()))
    prevalence = result.settings.calibration.prevalence
    return Table(
        "The model",
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
                *(
                    f"{percent(r.share)}\n{number(r.caught)}/{number(r.abusive)}\n"
                    f"{number(r.false)}/{number(r.benign)}"
                    for r in m.recalls
                ),
                *(percent(r.precision) for r in m.recalls),
            )
            for name, m in tested.measured.items()
        ],
        "Accounts count once, at their highest score; below a recall its counts, abusive and "
        "benign. The second average precision, and precision, are re-weighted to "
        f"{100 * prevalence:g} % abusive accounts; where no benign account is reached, one is "
        "counted.",
    )


def _thresholds_table(result: TrainingResult) -> Table:
    steps = result.model.calibration
    return Table(
        "Thresholds",
        (
            "outcome",
            "margin",
            "proba-\nbility",
            "tolerance",
            "bound",
            "false\npoints",
            "false\naccounts",
            "clean points\nneeded",
        ),
        [
            (
                outcome,
                f"{t.margin / ONE:.3f}",
                f"{steps.probability([t.margin])[0]:.2g}",
                f"1 in {1 / t.tolerance:,.0f}",
                f"{t.bound:.2g}" + ("\nnot shown" if t.is_short else ""),
                f"{number(t.false)}/{number(t.points)}",
                f"{number(t.false_accounts)}/{number(t.accounts)}",
                t.needed,
            )
            for outcome, t in result.thresholds.items()
        ],
        "Benign accounts and points of calibration alone; the bound is Clopper and Pearson's, "
        f"one-sided, {100 * result.settings.tolerance.confidence:g} %. Points of one account are "
        "not independent: read the accounts beside them. Probabilities are stated for "
        f"{100 * result.settings.calibration.prevalence:g} % abusive accounts; where more or "
        "fewer accounts are abusive, odds move by the same factor.",
    )


def _actions_table(tested: ModelEvaluation) -> Table:
    side = tested.splits["test"]
    abusive, benign = side["abusive accounts"], side["benign accounts"]
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
        [
            (
                outcome,
                f"{number(n['abusive accounts'])}/{number(abusive)}",
                percent(n["abusive accounts"] / abusive) if abusive else "–",
                f"{number(n['benign accounts'])}/{number(benign)}",
                n["abusive points"],
                n["benign points"],
            )
            for outcome, n in tested.actions.items()
        ],
        "The score alone, without rules. Points after rules had restricted an account are left "
        "out.",
    )


def _groups(tested: ModelEvaluation) -> list[Table | Text]:
    tables: list[Table | Text] = [
        Table(
            title,
            ("name", "accounts", "points", *SHOWN_OUTCOMES),
            [
                (g.name, g.accounts, g.points, *(g.reached[o] for o in SHOWN_OUTCOMES))
                for g in groups
            ],
            "Accounts that reach each threshold.",
        )
        for title, groups in (
            ("Abusive families, held out", tested.families),
            ("Benign personas, held out", tested.personas),
        )
        if groups
    ]
    return tables or [Text(["None was held out."])]


def _splits_table(tested: ModelEvaluation) -> Table:
    columns = list(next(iter(tested.splits.values())))
    return Table(
        "Splits",
        ("side", *(column.replace(" ", "\n", 1) for column in columns)),
        [(side, *(n[column] for column in columns)) for side, n in tested.splits.items()],
        "By operator; an account without one is its own. No operator is on two splits. Points kept "
        "for later time are in no fit.",
    )


def _origin(result: TrainingResult) -> list[Table | Text]:
    labels, sources = result.labels, result.settings.sources
    blocks: list[Table | Text] = [
        Table(
            "Labels",
            ("source", "label", "votes", "rank", "weight"),
            [
                (source, label, n, sources[source].rank, number(sources[source].weight, 2))
                for (source, label), n in sorted(labels.votes.items())
            ],
            f"{labels.undecided:,} accounts with contradicting votes of one rank are left out.",
            frozenset({0, 1}),
        )
    ]
    if labels.contradictions:
        blocks.append(
            Table(
                "Contradictions",
                ("taken", "as", "against", "votes"),
                [(*names, n) for names, n in sorted(labels.contradictions.items())],
                "Resolved by rank, then by the later vote.",
                frozenset({0, 1, 2}),
            )
        )
    lines = [
        f"Left out, {reason}: {count_of(n, 'point')}." for reason, n in result.left_out.items()
    ]
    return [*blocks, Text(lines)]


def _gains_table(result: TrainingResult) -> Table:
    gains = result.model.forest.gains()
    total = sum(gains.values()) or 1.0
    directions = {1: "up", -1: "down", 0: ""}
    return Table(
        "Features by gain",
        ("feature", "gain", "may only\nmove"),
        [
            (name, percent(gain / total), directions[SIGNS.get(name, (0, ""))[0]])
            for name, gain in gains.items()
        ],
        f"Of {len(result.points.names)} inputs; those without a split are left out.",
        frozenset({0, 2}),
    )


def _curve(tested: ModelEvaluation) -> list[Chart]:
    if tested.curve is None:
        return []
    return [
        Curves(
            "pr",
            "Precision against recall, accounts held out",
            "Accounts of operators held out, at their highest score, at their own share of abusive "
            "accounts.",
            [Line("model", *tested.curve)],
            across="recall",
            up="precision",
        )
    ]


def _versions(result: TrainingResult) -> list[str]:
    model, notes = result.model, result.model.training["notes"]
    entries = [f"{name} {value}" for name, value in notes.items() if isinstance(value, str | int)]
    return [
        f"wavebreak {__version__}; seed {model.seed}; {'; '.join(entries)}.",
        f"Training set {model.training_digest}.",
        *(f"Log {digest}." for digest in notes.get("logs", [])),
    ]
