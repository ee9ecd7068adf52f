"""Connects Synapse, the Matrix homeserver, to Wavebreak.

`homeserver.yaml` names `wavebreak_synapse.Module`; the README lists its settings.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.3.0.dev0"
__all__ = ["Module"]


def __getattr__(name: str) -> Any:
    # Synapse is there where the module runs, not where its mapping alone is used.
    if name != "Module":
        raise AttributeError(name)
    from wavebreak_synapse.module import Module

    return Module
