"""Switch of an engine between shadow and enforcement, at one position of its log.

In shadow an engine finds outcomes that nobody felt. When it begins to enforce, they are cleared:
nobody is silenced without a new decision. What recipients did (the sequential tests, reputations,
complaints, chats) stays, so that rules fire anew where it still speaks against an account.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wavebreak.engine.engine import Engine
from wavebreak.features import layout

_OF_OUR_ACTIONS = (
    "refused", "answered", "met", "action_at",
    "action_position", "action_stage", "reports_before", "reported_before",
)  # fmt: skip
"""Fields of a rare row that hold what our outcomes did, or what an account did after them."""


def switch_mode(engine: Engine, *, enforce: bool) -> None:
    """Let an engine enforce from its position on, or only record its decisions.

    From shadow to enforcement the outcomes in force are cleared, with what follows from them: rules
    that had fired may fire again (but those at registration, and labels, as after any outcome has
    ended), strikes, refusals and first actions count from now. An outcome that a person set, or
    that a label brought about, is cleared too: set it again. A grace period after a passed
    challenge, a label `benign` or a person's `allow` goes on. From enforcement to shadow nothing is
    cleared: outcomes run on and refuse nothing, until they end or enforcement begins again.

    Args:
        engine: An engine between two batches.
        enforce: Whether it enforces from now on.
    """
    if enforce and not engine.enforce:
        _clear_outcomes(engine)
    engine.set_mode(enforce=enforce)


def _clear_outcomes(engine: Engine) -> None:
    core = engine.core
    for s in range(layout.SHARDS):
        rows = core.rows[s].records[: len(range(s, core.accounts, layout.SHARDS))]
        rares = core.rares[s].records[: int(core.shards[s]["rare_n"])]
        eased = rows["rare"][(rows["enforcement"] > 0) & (rows["rare"] > 0)].astype(np.int64) - 1
        rares["spare"][eased] &= np.uint8(0xFF & ~layout.EASED_BITS)
        _clear_rows(rows, core.policy.keep)
        for name in _OF_OUR_ACTIONS:
            rares[name] = 0
    people = core.people.records[: core.accounts]
    people["enforcement"], people["until"] = 0, 0
    # The open epoch's contributions would put the outcomes into the shared state at its close.
    core.partials()[:] = [
        partial[~np.isin(partial["table"], (layout.ENFORCEMENT, layout.UNTIL))]
        for partial in core.partials()
    ]


def _clear_rows(rows: Any, keep: int) -> None:
    acted = rows["enforcement"] > 0
    rows["fired"][acted] &= keep
    rows["flags"][acted] &= np.uint16(
        0xFFFF & ~(layout.SCORED << layout.SCORED_AT | layout.ON_DOUBT)
    )
    for name in ("enforcement", "until", "quota"):
        rows[name][acted] = 0
    rows["strikes"], rows["worst"] = 0, 0
