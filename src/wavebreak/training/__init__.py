"""From labelled runs to a model directory with its card."""

from typing import TYPE_CHECKING

from wavebreak.lazily import lazily

if TYPE_CHECKING:
    from wavebreak.training.config import Settings
    from wavebreak.training.config import load as load_settings
    from wavebreak.training.dataset import world_of
    from wavebreak.training.evaluation import Tested, tested
    from wavebreak.training.labels import Claim, Key, Labels, read_claims, resolve
    from wavebreak.training.model_card import lead, terminal_tables
    from wavebreak.training.pipeline import Collected, collect, train, write
    from wavebreak.training.trainer import Learned, learn
else:
    __getattr__ = lazily(__name__, {
        "config": "Settings load:load_settings",
        "dataset": "world_of",
        "evaluation": "Tested tested",
        "labels": "Claim Key Labels read_claims resolve",
        "model_card": "lead terminal_tables",
        "pipeline": "Collected collect train write",
        "trainer": "Learned learn",
    })  # fmt: skip

__all__ = [
    "Claim", "Collected", "Key", "Labels", "Learned", "Settings", "Tested", "collect", "lead",
    "learn", "load_settings", "read_claims", "resolve", "terminal_tables", "tested", "train",
    "world_of", "write",
]  # fmt: skip
