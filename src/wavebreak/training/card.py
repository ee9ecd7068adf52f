"""The model card: one self-contained page of what a model is, rests on, and can and cannot do.

After Mitchell et al., Model Cards for Model Reporting (FAT* 2019).
"""

from __future__ import annotations

from pathlib import Path

from wavebreak import __version__
from wavebreak.evaluation import exact_interval
from wavebreak.pages import count_of, html_table, interval, number, page, paragraphs, percent
from wavebreak.training import tables
from wavebreak.training.learning import Learned
from wavebreak.training.pictures import pictures
from wavebreak.training.testing import Tested


def write_html(learned: Learned, tested: Tested, path: Path) -> None:
    """Write the card; the same model gives the same bytes."""
    prevalence = learned.settings.calibration.prevalence
    drawn = pictures(learned, tested)
    made: list[tuple[str, str]] = []
    if tested.measured:
        table = tables.measures("The model", tested.measured, prevalence)
        made.append(
            ("How well it tells accounts apart", html_table(table) + _of(drawn, "pr", "roc"))
        )
    if tested.simple:
        made.append((
            "Beside the simplest",
            html_table(tables.measures("Baselines, accounts held out", tested.simple, prevalence)),
        ))  # fmt: skip
    thresholds = html_table(tables.tolerances(learned))
    made += [
        ("Where it acts", thresholds + html_table(tables.actions(tested, learned))),
        ("What a probability of it means", _reliability(learned, drawn)),
        ("By family and persona", _groups(tested)),
    ]
    if tested.poorer:
        table = tables.measures("The same accounts", tested.poorer, prevalence)
        made.append(("Where the stream carries less", html_table(table)))
    made += [
        ("What it reads", "\n".join(map(html_table, (
            tables.importance(learned, tested), *tables.directions())))),
        ("What it was learned from", _origin(learned, tested)),
        ("Drift baseline", paragraphs([_drift(learned)])),
        ("Made with", paragraphs(_versions(learned), "note")),
    ]  # fmt: skip
    path.write_text(page(f"Model {learned.model.version}", lead(learned, tested), made), "utf-8")


def lead(learned: Learned, tested: Tested) -> list[str]:
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
    lines.append("A score is one opinion: a ban needs other evidence beside it.")
    return lines + tables.few_people(learned) + tables.short_of(learned)


def _of(drawn: dict[str, str], *names: str) -> str:
    return "\n".join(drawn[name] for name in names if name in drawn)


def _reliability(learned: Learned, drawn: dict[str, str]) -> str:
    share = 100 * learned.settings.calibration.prevalence
    said = (
        f"Probabilities are stated for {share:g} % abusive accounts, by isotonic regression on "
        "operators that the fit never saw, each account counting once "
        f"({count_of(len(learned.model.calibration.levels), 'step')}). Where more or fewer "
        "accounts are abusive, odds move by the same factor."
    )
    return paragraphs([said]) + _of(drawn, "reliability")


def _groups(tested: Tested) -> str:
    made = []
    if tested.families:
        made.append(tables.families("Abusive families, held out", tested.families))
    if tested.personas:
        made.append(tables.families("Benign personas, held out", tested.personas))
    return "\n".join(map(html_table, made)) or paragraphs(["None was held out."])


def _origin(learned: Learned, tested: Tested) -> str:
    left = [f"Left out, {why}: {count_of(n, 'point')}." for why, n in learned.left_out.items()]
    allowed = [f"Let pass although good alone: {', '.join(learned.allowed)}."] * bool(
        learned.allowed
    )
    made = [tables.sides(tested), *tables.sources(learned)]
    return "\n".join(map(html_table, made)) + paragraphs([*left, *allowed])


def _drift(learned: Learned) -> str:
    return (
        f"baseline.json holds {len(learned.spreads)} spreads in at most "
        f"{learned.settings.baseline.bins} bins each, over "
        f"{count_of(len(learned.points), 'point')} of training; a stream is held "
        "against them by the population stability index."
    )


def _versions(learned: Learned) -> list[str]:
    model, notes = learned.model, learned.model.training["notes"]
    told = [f"{name} {value}" for name, value in notes.items() if isinstance(value, str | int)]
    return [
        f"wavebreak {__version__}; seed {model.seed}; {'; '.join(told)}.",
        f"Training set {model.training_digest}.",
        *(f"Log {digest}." for digest in notes.get("logs", [])),
    ]
