"""The model card: tables and charts of a model, as one self-contained HTML page.

After Mitchell et al., Model Cards for Model Reporting (FAT* 2019).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from wavebreak import __version__
from wavebreak.evaluation import exact_interval
from wavebreak.evaluation.scoring_points import NOT_INPUTS, SIGNS
from wavebreak.model import ONE
from wavebreak.reports.charts import Line, curves
from wavebreak.reports.html import html_figure, html_table, join_html, page, paragraphs
from wavebreak.reports.tables import Table, count_of, interval, number, percent
from wavebreak_lab.training.evaluation import GroupMetrics, ModelEvaluation, Recall, ScoreMetrics
from wavebreak_lab.training.trainer import TrainingResult

_ALWAYS_SHOWN = ("challenge", "restrict", "suspend", "ban")


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
                number(t.masked),
                f"{number(t.false_accounts)}/{number(t.accounts)}",
                number(t.needed),
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
    """Say plainly which tolerances the data could not show."""
    found = [t for t in learned.thresholds.values() if t.short]
    if not found:
        return []
    said = []
    for counted, name in (("points", "scoring points"), ("accounts", "accounts")):
        mine = [t for t in found if t.counted == counted]
        if mine:
            worst, bound = max(t.needed for t in mine), max(t.bound for t in mine)
            said.append(
                f"Too few benign {name} for {', '.join(t.outcome for t in mine)}: "
                f"{mine[0].points:,} were there, {worst:,} without a fault are needed. Their "
                f"threshold lies just above all that were seen, which shows no more than one "
                f"false action in {1 / bound:,.0f}."
            )
    return [" ".join(said)]


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
            number(n["abusive points"]),
            number(n["benign points"]),
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
        ("name", "accounts", "points", *_ALWAYS_SHOWN, "at regis-\ntration", "median\npoint"),
        [
            (
                g.name,
                number(g.accounts),
                number(g.points),
                *(number(g.reached[o]) for o in _ALWAYS_SHOWN),
                number(g.first),
                number(g.point),
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
        [(s, *(number(n[kind]) for kind in kinds)) for s, n in tested.splits.items()],
        "By operator; an account without one is its own. No operator is on two splits. Points kept "
        "for later time are in no fit.",
    )


def label_tables(learned: TrainingResult) -> list[Table]:
    """Label sources, and how contradictions were resolved."""
    labels = learned.labels
    ranks = learned.settings.sources
    made = [
        Table(
            "Labels",
            ("source", "label", "votes", "rank", "weight"),
            [
                (
                    s,
                    label,
                    number(n),
                    number(ranks[s].rank),
                    number(ranks[s].weight, 2),
                )
                for (s, label), n in sorted(labels.votes.items())
            ],
            f"{labels.undecided:,} accounts had two words of one rank against each other and are "
            "left out.",
            frozenset({0, 1}),
        )
    ]
    if labels.contradictions:
        made.append(
            Table(
                "Contradictions",
                ("taken", "as", "against", "votes"),
                [(a, b, c, number(n)) for (a, b, c), n in sorted(labels.contradictions.items())],
                "Resolved by rank, then by the later word.",
                frozenset({0, 1, 2}),
            )
        )
    return made


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


def terminal_tables(learned: TrainingResult, tested: ModelEvaluation) -> list[Table]:
    """What the command prints."""
    prevalence = learned.settings.calibration.prevalence
    made = [splits_table(tested)]
    if tested.measured:
        sets = tested.measured | tested.baselines
        made.append(metrics_table("How well it tells accounts apart", sets, prevalence))
    return [*made, thresholds_table(learned), actions_table(tested, learned)]


def charts(learned: TrainingResult, tested: ModelEvaluation) -> dict[str, str]:
    """Draw what there is to draw; figures with their captions, as HTML, by name."""
    drawn: dict[str, str] = {}
    if tested.curves:
        drawn["pr"] = html_figure(
            curves(
                "pr",
                "Precision against recall, accounts held out",
                [Line(name, *lines["pr"]) for name, lines in tested.curves.items()],
                across="recall",
                up="precision",
            ),
            "Accounts of operators held out, at their highest score, at their own share of abusive "
            "accounts.",
        )
        drawn["roc"] = html_figure(
            curves(
                "roc",
                "Recall against the share of false alarms, accounts held out",
                [
                    Line(name, *_log_false_share(lines["roc"]))
                    for name, lines in tested.curves.items()
                ],
                across="share of benign accounts reached, log10",
                up="recall",
            ),
            "The same accounts; where no benign account is reached yet is at the left edge.",
        )
    if tested.reliability:
        said, was = zip(*((s, w) for s, w, _ in tested.reliability), strict=True)
        ends = [math.log10(max(min(said), 1e-7)), math.log10(max(*said, 1e-7))]
        drawn["reliability"] = html_figure(
            curves(
                "reliability",
                "What was said and what was, scoring points held out",
                [
                    Line("model", _log10(said), _log10(was)),
                    Line("as it should be", ends, ends, guide=True),
                ],
                across="probability said, log10",
                up="share observed, log10",
                marks=True,
            ),
            f"Both at {100 * learned.settings.calibration.prevalence:g} % abusive accounts; bins "
            "hold alike many abusive points.",
        )
    return drawn


_EDGE = 1e-4


def _log_false_share(curve: tuple[list[float], list[float]]) -> tuple[list[float], list[float]]:
    false, recall = curve
    return [math.log10(max(f, _EDGE)) for f in false], recall


def _log10(values: tuple[float, ...]) -> list[float]:
    return [math.log10(max(v, 1e-7)) for v in values]


def write_html(
    learned: TrainingResult,
    tested: ModelEvaluation,
    path: Path,
    left_out: Sequence[Table] = (),
) -> None:
    """Write the card; the same model and tables give the same bytes.

    `left_out` are tables of personas and families left out (`leave_one_out.result_tables`).
    """
    prevalence = learned.settings.calibration.prevalence
    drawn = charts(learned, tested)
    made: list[tuple[str, str]] = []
    if tested.measured:
        table = metrics_table("The model", tested.measured, prevalence)
        made.append(
            (
                "How well it tells accounts apart",
                html_table(table) + _join_charts(drawn, "pr", "roc"),
            )
        )
    if tested.baselines:
        made.append(
            (
                "Beside the simplest",
                html_table(
                    metrics_table("Baselines, accounts held out", tested.baselines, prevalence)
                ),
            )
        )
    thresholds = html_table(thresholds_table(learned))
    made += [
        ("Where it acts", thresholds + html_table(actions_table(tested, learned))),
        ("What a probability of it means", _reliability(learned, drawn)),
        ("By family and persona", _groups(tested)),
    ]
    if tested.masked:
        table = metrics_table("The same accounts", tested.masked, prevalence)
        made.append(("Where the stream carries less", html_table(table)))
    if left_out:
        made.append(("People and attackers it never saw", join_html(map(html_table, left_out))))
    made += [
        (
            "What it reads",
            join_html(map(html_table, (importance_table(learned, tested), *input_tables()))),
        ),
        ("What it was learned from", _origin(learned, tested)),
        ("Drift baseline", paragraphs([_drift(learned)])),
        ("Made with", paragraphs(_versions(learned), "note")),
    ]
    path.write_text(page(f"Model {learned.model.version}", summary(learned, tested), made), "utf-8")


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


def _join_charts(drawn: dict[str, str], *names: str) -> str:
    return join_html(drawn[name] for name in names if name in drawn)


def _reliability(learned: TrainingResult, drawn: dict[str, str]) -> str:
    share = 100 * learned.settings.calibration.prevalence
    said = (
        f"Probabilities are stated for {share:g} % abusive accounts, by isotonic regression on "
        "operators that the fit never saw, each account counting once "
        f"({count_of(len(learned.model.calibration.levels), 'step')}). Where more or fewer "
        "accounts are abusive, odds move by the same factor."
    )
    return paragraphs([said]) + _join_charts(drawn, "reliability")


def _groups(tested: ModelEvaluation) -> str:
    made = []
    if tested.families:
        made.append(groups_table("Abusive families, held out", tested.families))
    if tested.personas:
        made.append(groups_table("Benign personas, held out", tested.personas))
    return join_html(map(html_table, made)) or paragraphs(["None was held out."])


def _origin(learned: TrainingResult, tested: ModelEvaluation) -> str:
    left = [f"Left out, {why}: {count_of(n, 'point')}." for why, n in learned.left_out.items()]
    allowed = [f"Let pass although good alone: {', '.join(learned.allowed)}."] * bool(
        learned.allowed
    )
    made = [splits_table(tested), *label_tables(learned)]
    return join_html(map(html_table, made)) + paragraphs([*left, *allowed])


def _drift(learned: TrainingResult) -> str:
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
