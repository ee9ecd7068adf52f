"""Effect sheets of the steps that let another policy or model decide: going live, and rolling back.

Their figures are those of the replay that compared the two versions.
"""

from __future__ import annotations

from itertools import islice
from typing import Any

from wavebreak.outcomes import rank_of
from wavebreak_server.slices.acts.effect_sheet import EffectSheet, Move, SwitchEffect
from wavebreak_server.slices.users.acting_user import ActingUser
from wavebreak_server.slices.versions import replay_processes, service
from wavebreak_server.slices.versions.models import Version

SHOWN_SLOWED = 20


def live_sheet(kind: service.Kind, acting: ActingUser, version: Version) -> EffectSheet:
    """Return the sheet of a version that goes live."""
    replay = service.valid_replay(kind, acting, version)
    return _sheet(kind, acting, "live", version.name, replay, is_back=False)


def back_sheet(kind: service.Kind, acting: ActingUser) -> EffectSheet | None:
    """Return the sheet of a rollback; None where there is nothing to return to."""
    target = kind.previous_name(acting.service)
    if target is None:
        return None
    live, replay = service.live_version(kind, acting.service), None
    if live is not None:
        # A version goes live after a replay beside what decided then: beside its predecessor.
        replay = live.replays.filter(state=kind.replays.DONE).last()
    return _sheet(kind, acting, "back", target, replay, is_back=True)


def _sheet(
    kind: service.Kind, acting: ActingUser, step: str, after: str, replay: Any, *, is_back: bool
) -> EffectSheet:
    names = (kind.live_name(acting.service), after)
    figures = _figures(kind, acting, replay, is_back=is_back) if replay is not None else {}
    effect = SwitchEffect(*names, page=f"{kind.content}_replay", **figures)
    what = f"{kind.content} {step} {after}"
    return EffectSheet(what, acting.deciding.enforce, switch=effect)


def _figures(
    kind: service.Kind, acting: ActingUser, replay: Any, *, is_back: bool
) -> dict[str, Any]:
    """Return the figures of a replay; of a rollback with its two sides exchanged."""
    turn = -1 if is_back else 1
    moves = []
    for one, other, count, benign, _ in replay.result.get("moves", []):
        before, after = (one, other)[::turn]
        moves.append(Move(before, after, count, benign))
    refused = tuple(replay.result.get("refused", (0, 0))[::turn])
    worse = (
        (change.account, *(change.before, change.after)[::turn])
        for change in replay_processes.changes(service.replay_directory(kind, acting, replay))
        if change.label == "benign"
    )
    slowed = (row for row in worse if rank_of(row[2]) > rank_of(row[1]))
    count = min(SHOWN_SLOWED, sum(move.benign for move in moves if move.is_worse))
    return {
        "replay": replay.id,
        "accounts": replay.result.get("accounts", 0),
        "moves": tuple(moves),
        "refused": refused,
        "slowed": tuple(islice(slowed, count)),
    }
