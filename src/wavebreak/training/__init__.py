"""From labelled runs to a model directory with its card."""

from typing import TYPE_CHECKING

from wavebreak.lazily import lazily

if TYPE_CHECKING:
    from wavebreak.training.card import lead
    from wavebreak.training.gathering import world_of
    from wavebreak.training.labelling import Claim, Key, Labels, read_claims, resolve
    from wavebreak.training.learning import Learned, learn
    from wavebreak.training.runs import Collected, collect, train, write
    from wavebreak.training.settings import Settings
    from wavebreak.training.settings import load as load_settings
    from wavebreak.training.tables import terminal_tables
    from wavebreak.training.testing import Tested, tested
else:
    __getattr__ = lazily(__name__, {
        "card": "lead",
        "gathering": "world_of",
        "labelling": "Claim Key Labels read_claims resolve",
        "learning": "Learned learn",
        "runs": "Collected collect train write",
        "settings": "Settings load:load_settings",
        "tables": "terminal_tables",
        "testing": "Tested tested",
    })  # fmt: skip

__all__ = [
    "Claim", "Collected", "Key", "Labels", "Learned", "Settings", "Tested", "collect", "lead",
    "learn", "load_settings", "read_claims", "resolve", "terminal_tables", "tested", "train",
    "world_of", "write",
]  # fmt: skip
