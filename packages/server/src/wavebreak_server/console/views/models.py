"""Models: the one that scores, challengers, approval, promotion and rollback."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from wavebreak.errors import ModelError
from wavebreak.features.catalog import describe
from wavebreak.features.descriptions import feature_title
from wavebreak.languages import msgid
from wavebreak.model import load, storage
from wavebreak.outcomes import BY_RANK
from wavebreak_server.console import pages
from wavebreak_server.console.views.versions import StepViews, moves_of, replay_page, version_rows
from wavebreak_server.errors import ApiError
from wavebreak_server.pipeline.live_policy import models_directory
from wavebreak_server.slices.learning import service as home_learning
from wavebreak_server.slices.versions import model_versions as versions
from wavebreak_server.slices.versions import policy_versions, replay_processes, service
from wavebreak_server.slices.versions.model_versions import MODEL
from wavebreak_server.slices.versions.models import ModelReplay, ModelVersion
from wavebreak_server.slices.versions.replay import EDGES, inputs
from wavebreak_server.slices.versions.step_sheets import back_sheet, live_sheet
from wavebreak_server.texts import page_language, translate

SHOWN_FEATURES = 12
TRAINING_NAMES = {
    "events": msgid("Trained on events"),
    "features": msgid("Feature catalog"),
    "mode": msgid("Features computed"),
    "policy": msgid("Under policy"),
    "traces": msgid("Real traces"),
    "worlds": msgid("Simulated worlds"),
}
"""What a page calls the notes that training leaves in a model's metadata."""
STEPS = StepViews(
    MODEL,
    "model_version",
    "policy_models",
    {
        "approve": msgid("Approved. It scores nobody until it is promoted."),
        "reject": msgid("Withdrawn. Its files are kept."),
        "go_live": msgid("{name} scores now. New events waited {seconds} s meanwhile."),
        "roll_back": msgid("{name} scores again. New events waited {seconds} s meanwhile."),
    },
    msgid("The model that the service was started with"),
)
approve, reject, promote = STEPS.approve(), STEPS.reject(), STEPS.go_live()
roll_back = STEPS.roll_back()


@pages.page("view_policy")
def models(request: HttpRequest) -> HttpResponse:
    """Show the model that scores, and the registered ones, newest first."""
    console = pages.console_of(request)
    home, used = console.service.settings.home, versions.scoring(console).model
    target, champion = (MODEL.previous_name(console.service), versions.champion_directory(console))
    return pages.show(
        request,
        "console/policy_models.html",
        rows=version_rows(request, MODEL),
        used=used,
        champion=_metadata(champion) if champion and used else None,
        card=_card_name(home, champion) if champion and used else "",
        live=MODEL.live_name(console.service),
        target=target,
        can_roll_back=target is not None,
        back_sheet=back_sheet(MODEL, console),
        waiting=versions.unregistered(home),
        score=policy_versions.live_policy_of(console).score,
        tab="models",
    )


@pages.page("view_policy")
def learning(request: HttpRequest) -> HttpResponse:
    """Show the last learned week in words, the proposed ceilings, and the states of all weeks."""
    home = pages.console_of(request).service.settings.home
    state = home_learning.read_state(home)
    scores = state.scores
    newest = scores[-1] if scores else None
    return pages.show(
        request,
        "console/policy_learning.html",
        scores=[(score, home_learning.WORDS[score.state]) for score in reversed(scores[-26:])],
        newest=newest,
        sentences=home_learning.sentences(newest) if newest else [],
        ceilings=state.ceilings,
        tab="learning",
    )


def _card_name(home: Path, directory: Path) -> str:
    """Return the name by which a model's card is read; "" for one that lies elsewhere."""
    within = directory.parent == models_directory(home)
    return directory.name if within and (directory / versions.CARD).is_file() else ""


def _metadata(directory: Path) -> dict[str, Any]:
    """Return what a model's metadata says, without loading its trees."""
    try:
        document = json.loads((directory / storage.METADATA).read_text("utf-8"))
        content = document["model"]
        notes = content.get("training", {}).get("notes", {})
        return {
            "version": str(document["version"]),
            "features": len(content["features"]),
            "thresholds": {
                name: content["thresholds"][name] / 65_536
                for name in BY_RANK
                if name in content["thresholds"]
            },
            "training": {
                TRAINING_NAMES.get(name, name): f"{value:,}" if isinstance(value, int) else value
                for name, value in notes.items()
                if isinstance(value, int | float | str)
            },
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {"version": "cannot be read", "features": 0, "thresholds": {}, "training": {}}


@pages.page("view_policy")
def card(request: HttpRequest, name: str) -> HttpResponse:
    """Return a model's card: a page of its own, sandboxed, with its inline style alone."""
    place = models_directory(pages.console_of(request).service.settings.home)
    directories = {p.name: p for p in (place.iterdir() if place.is_dir() else ()) if p.is_dir()}
    path = directories.get(name, place) / versions.CARD
    if not path.is_file():
        raise ApiError(
            404, translate("there is no such card"), fix=translate("see the list of models")
        )
    return pages.sandboxed(path.read_text("utf-8"))


@pages.page("register_models", "POST")
def register_model(request: HttpRequest) -> HttpResponse:
    """Register a directory of `HOME/models` as a challenger."""
    console, reason = pages.console_of(request), pages.reason_of(request)
    made = versions.register(console, request.POST.get("name", "")[:200], reason)
    pages.say(
        request,
        translate(
            "Registered as {name}. Compare it with the model that scores now.", name=made.name
        ),
    )
    return redirect("model_version", made.id)


@pages.page("view_policy")
def model_version(request: HttpRequest, number: int) -> HttpResponse:
    """Show a model beside the one that scores: figures, features, card, approval."""
    console = pages.console_of(request)
    newest = service.newest_replay(MODEL, console, number)
    version = service.find_version(MODEL, number)
    home, now = console.service.settings.home, versions.scoring(console)
    directory = versions.directory_of(home, version)
    champion = versions.champion_directory(console) if now.model else None
    done = newest if newest is not None and newest.state == ModelReplay.DONE else None
    return pages.show(
        request,
        "console/model_version.html",
        version=version,
        is_live=now.model == version.model,
        used=now.model,
        metadata=_metadata(directory),
        champion=_metadata(champion) if champion else None,
        champion_card=_card_name(home, champion) if champion else "",
        own_card=_card_name(home, directory),
        features=_features(version, champion),
        replay=newest,
        result=done.result if done else None,
        reached=_reached(done.result) if done else [],
        bins=_bins(done.result) if done else [],
        moves=moves_of(done.result) if done else [],
        progress=_progress(console, newest),
        live_sheet=live_sheet(MODEL, console, version),
        valid=service.valid_replay(MODEL, console, version),
        mine=version.author_id == console.user.id,
        approvers=service.people_who_may_approve(MODEL, version),
        days=versions.DAYS,
        running=newest is not None and newest.state == ModelReplay.RUNNING,
    )


def _progress(console: pages.Console, replay: ModelReplay | None) -> dict[str, int]:
    if replay is None:
        return {}
    return replay_processes.progress(service.replay_directory(MODEL, console, replay))


def _features(version: ModelVersion, champion: Path | None) -> list[dict[str, Any]]:
    """Return the features that either model reads most, with their share of the gain in each."""
    challenger = dict(version.features)
    other: dict[str, float] = {}
    if champion is not None:
        try:
            other = dict(inputs(load(champion), 400))
        except ModelError:
            other = {}
    names = sorted(
        challenger | other, key=lambda name: -max(challenger.get(name, 0), other.get(name, 0))
    )
    return [
        {
            "name": name,
            "title": feature_title(name, page_language()),
            "meaning": describe(name, page_language()),
            "champion": other.get(name),
            "challenger": challenger.get(name),
        }
        for name in names[:SHOWN_FEATURES]
    ]


def _reached(result: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return what each threshold and outcome reaches, under both models."""
    sides = result["sides"]
    names = dict.fromkeys(name for side in sides for name in side["thresholds"])
    rows = [
        (
            translate("score for {name}", name=name),
            *(side["thresholds"].get(name) for side in sides),
        )
        for name in names
    ]
    return [
        *rows,
        (translate("a limit or more, by rules or score"), *(side["acted"] for side in sides)),
    ]


def _bins(result: dict[str, Any]) -> list[tuple[str, int, int, int]]:
    """Return accounts by their highest chance of abuse, under both models, and the most of all."""
    one, other = (side["bins"] for side in result["sides"])
    labels = [f"{low:g}–{high:g}" for low, high in pairwise(EDGES)]
    most = max(1, *one, *other)
    return [(*row, most) for row in zip(labels, one, other, strict=True)]


@pages.page("register_models", "POST")
def compare(request: HttpRequest, number: int) -> HttpResponse:
    """Replay the log under both models."""
    days = pages.number_of(request.POST.get("days"), 0, 3_650, 30)
    versions.compare(pages.console_of(request), service.find_version(MODEL, number), days)
    return redirect("model_version", number)


@pages.page("view_policy")
def model_replay(request: HttpRequest, number: int) -> HttpResponse:
    """Show the progress of a comparison, or the accounts that fare otherwise."""
    return replay_page(request, MODEL, number, "model_replay.html", "comparison")
