"""Training: from labelled runs to a model directory with a model card."""

from typing import TYPE_CHECKING

from wavebreak.lazily import lazily

if TYPE_CHECKING:
    from wavebreak.training.config import Settings, load_settings
    from wavebreak.training.dataset import world_of
    from wavebreak.training.evaluation import ModelEvaluation, evaluate_model
    from wavebreak.training.labels import Key, Labels, LabelVote, read_votes, resolve_votes
    from wavebreak.training.model_card import summary, terminal_tables
    from wavebreak.training.pipeline import TrainingSet, collect, train, write_model_directory
    from wavebreak.training.trainer import TrainingResult, fit_model
else:
    __getattr__ = lazily(__name__, {
        "config": "Settings load_settings",
        "dataset": "world_of",
        "evaluation": "ModelEvaluation evaluate_model",
        "labels": "Key LabelVote Labels read_votes resolve_votes",
        "model_card": "summary terminal_tables",
        "pipeline": "TrainingSet collect train write_model_directory",
        "trainer": "TrainingResult fit_model",
    })  # fmt: skip

__all__ = [
    "Key",
    "LabelVote",
    "Labels",
    "ModelEvaluation",
    "Settings",
    "TrainingResult",
    "TrainingSet",
    "collect",
    "evaluate_model",
    "fit_model",
    "load_settings",
    "read_votes",
    "resolve_votes",
    "summary",
    "terminal_tables",
    "train",
    "world_of",
    "write_model_directory",
]
