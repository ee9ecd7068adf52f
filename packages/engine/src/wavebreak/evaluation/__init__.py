"""Measures of decisions against labels: detection, delay, and false actions."""

from typing import TYPE_CHECKING

from wavebreak.extras import lazily

if TYPE_CHECKING:
    from wavebreak.evaluation.intervals import exact_interval
    from wavebreak.evaluation.labels import Label, read_labels
    from wavebreak.evaluation.metrics import (
        BeforeAction,
        Evaluation,
        Family,
        Persona,
        evaluate,
        evaluate_all,
        labels_path,
        read_accounts,
    )
    from wavebreak.evaluation.report import (
        evaluation_overview,
        evaluation_report,
        share_interval,
        share_of,
    )
else:
    __getattr__ = lazily(
        __name__,
        {
            "metrics": "BeforeAction Evaluation Family Persona evaluate evaluate_all labels_path "
            "read_accounts",
            "intervals": "exact_interval",
            "labels": "Label read_labels",
            "report": "evaluation_overview evaluation_report share_interval share_of",
        },
    )

__all__ = [
    "BeforeAction",
    "Evaluation",
    "Family",
    "Label",
    "Persona",
    "evaluate",
    "evaluate_all",
    "evaluation_overview",
    "evaluation_report",
    "exact_interval",
    "labels_path",
    "read_accounts",
    "read_labels",
    "share_interval",
    "share_of",
]
