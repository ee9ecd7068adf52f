"""Training: from labelled runs to a model directory with a model card."""

from typing import TYPE_CHECKING

from wavebreak.extras import lazily

if TYPE_CHECKING:
    from wavebreak_lab.training.config import Settings, load_settings
    from wavebreak_lab.training.evaluation import ModelEvaluation, evaluate_model
    from wavebreak_lab.training.model_card import summary, training_report
    from wavebreak_lab.training.pipeline import TrainingSet, collect, train, write_model_directory
    from wavebreak_lab.training.trainer import TrainingResult, fit_model
else:
    __getattr__ = lazily(__name__, {
        "config": "Settings load_settings",
        "evaluation": "ModelEvaluation evaluate_model",
        "model_card": "summary training_report",
        "pipeline": "TrainingSet collect train write_model_directory",
        "trainer": "TrainingResult fit_model",
    })  # fmt: skip

__all__ = [
    "ModelEvaluation",
    "Settings",
    "TrainingResult",
    "TrainingSet",
    "collect",
    "evaluate_model",
    "fit_model",
    "load_settings",
    "summary",
    "train",
    "training_report",
    "write_model_directory",
]
