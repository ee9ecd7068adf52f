"""Record how a spammer is stopped on a real Synapse, as an animated picture for the documentation.

    PYTHONPATH=tests python integrations/synapse/record_pictures.py

Starts a Wavebreak and a Synapse in a temporary directory, has a spammer write to 40 strangers, and
draws what the servers answered. Writes `docs/images/synapse-spammer.gif`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE / "tests"), str(ROOT / "tests")]

from synapse_support.homeserver import Account  # noqa: E402
from synapse_support.spam_story import SpamStory, protected  # noqa: E402

PICTURE = ROOT / "docs" / "images" / "synapse-spammer.gif"
SIZE = (880, 500)
GAP_S = 0.35
PAPER, INK, FAINT, RULE = "#ffffff", "#1d2433", "#6b7280", "#d5d9e0"
REACHED, REFUSED, WAITING, CALM = "#d9480f", "#1c6dd0", "#eceef2", "#2b8a3e"
LINES = 7


@dataclass(frozen=True)
class Step:
    """One act and its answer: when, of whom, what, and which stranger it was about."""

    seconds: float
    text: str
    passed: bool
    stranger: int | None = None
    note: str = ""


def record(story: SpamStory) -> list[Step]:
    """Have the story happen; return what was answered."""
    story.settle()
    began = time.monotonic()
    steps: list[Step] = []

    def add(text: str, answer: Any, stranger: int | None = None, note: str = "") -> None:
        passed = answer.status_code == 200
        code = "200" if passed else f"{answer.status_code} {answer.json()['errcode']}"
        seconds = time.monotonic() - began
        steps.append(Step(seconds, f"{text} → {code}", passed, stranger, note))

    for number, stranger in enumerate(story.strangers):
        started = time.monotonic()
        answer = story.spammer.create(stranger.id, is_direct=True)
        # Who is invited is reached, whether a message follows or not.
        add(f"@zed invites {name_of(stranger)}", answer, number, "A spammer and 40 strangers.")
        if answer.status_code == 200:
            answer = story.spammer.send(answer.json()["room_id"], "Buy cheap coins now")
            if answer.status_code != 200:
                add(f"@zed writes to {name_of(stranger)}", answer, None, steps[-1].note)
        time.sleep(max(0.0, GAP_S - (time.monotonic() - started)))
    note = "The chat that he had before goes on."
    add("@zed writes to @friend", story.spammer.send(story.friends_room, "hi"), None, note)
    note = "Everybody else notices nothing: new chats of five others."
    for number, (one, _, _) in enumerate(story.chats):
        answer = one.create(story.spare[number].id, is_direct=True)
        add(f"{name_of(one)} opens a new chat", answer, None, note)
    story.server.stop()
    story.service.stop()
    story.service.start()
    story.server.start()
    note = "Wavebreak and Synapse are restarted: he is still refused."
    add("@zed invites @s8", story.spammer.create(story.spare[-1].id), None, note)
    story.override(story.spammer.id, verdict="benign", by="appeal")
    lifted = time.monotonic()
    answer = story.spammer.create(story.spare[-1].id)
    while answer.status_code != 200 and time.monotonic() - lifted < 20:
        time.sleep(0.05)
        answer = story.spammer.create(story.spare[-1].id)
    note = f"Had it been wrong: an upheld appeal lifts it in {time.monotonic() - lifted:.1f} s."
    add("@zed invites @s8", answer, None, note)
    return steps


def name_of(account: Account) -> str:
    """Return an account's name without its server."""
    return account.id.partition(":")[0]


def font(size: int, name: str = "DejaVuSans") -> ImageFont.FreeTypeFont:
    """Return a font that matplotlib carries."""
    return ImageFont.truetype(str(Path(get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"), size)


def draw(steps: list[Step], count: int, title: str) -> Image.Image:
    """Return the picture after so many steps."""
    image = Image.new("RGB", SIZE, PAPER)
    pen = ImageDraw.Draw(image)
    done = steps[:count]
    last = done[-1]
    pen.text((28, 22), title, INK, font(20, "DejaVuSans-Bold"))
    pen.text((28, 54), last.note, INK, font(15))
    pen.text((SIZE[0] - 28, 26), f"{last.seconds:5.1f} s", FAINT, font(16), anchor="ra")
    strangers = {step.stranger: step for step in done if step.stranger is not None}
    for number in range(40):
        x, y = 48 + number % 8 * 50, 116 + number // 8 * 50
        step = strangers.get(number)
        fill = WAITING if step is None else REACHED if step.passed else PAPER
        edge = RULE if step is None else REACHED if step.passed else REFUSED
        pen.ellipse((x - 18, y - 18, x + 18, y + 18), fill, edge, 2)
        if step is not None and not step.passed:
            pen.line((x - 9, y - 9, x + 9, y + 9), REFUSED, 3)
            pen.line((x - 9, y + 9, x + 9, y - 9), REFUSED, 3)
    reached = sum(step.passed for step in strangers.values())
    refused = len(strangers) - reached
    _legend(pen, reached, refused)
    _log(pen, done[-LINES:])
    return image


def _legend(pen: ImageDraw.ImageDraw, reached: int, refused: int) -> None:
    x = 480
    pen.text((x, 100), f"{reached}", REACHED, font(46, "DejaVuSans-Bold"))
    pen.text((x + 90, 122), "strangers were reached", INK, font(16))
    pen.text((x, 170), f"{refused}", REFUSED, font(46, "DejaVuSans-Bold"))
    pen.text((x + 90, 192), "were spared: the act was refused", INK, font(16))
    lines = (
        "Nobody read a message: the homeserver sends",
        "who, to whom, when and how long, never what.",
    )
    for number, line in enumerate(lines):
        pen.text((x, 256 + number * 22), line, FAINT, font(13))


def _log(pen: ImageDraw.ImageDraw, steps: list[Step]) -> None:
    pen.line((28, 358, SIZE[0] - 28, 358), RULE, 1)
    for number, step in enumerate(steps):
        y = 367 + number * 17
        colour = CALM if step.passed and step.stranger is None else INK
        colour = REFUSED if not step.passed else colour
        pen.text((28, y), f"{step.seconds:6.1f}  {step.text}", colour, font(12, "DejaVuSansMono"))


def animate(steps: list[Step], path: Path) -> None:
    """Write the animation; it stays longer where something new is said."""
    title = "A spammer on a real Synapse, with Wavebreak beside it"
    frames, durations = [], []
    for count in range(1, len(steps) + 1):
        frames.append(draw(steps, count, title))
        changes = count == len(steps) or steps[count].note != steps[count - 1].note
        turns = 1 < count < len(steps) and steps[count - 1].passed != steps[count - 2].passed
        durations.append(2600 if changes else 1200 if turns else 160)
    palette = frames[-1].quantize(64)
    small = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    path.parent.mkdir(parents=True, exist_ok=True)
    small[0].save(
        path, save_all=True, append_images=small[1:], duration=durations, loop=0, optimize=True
    )


def main() -> None:
    """Record, and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=PICTURE)
    output = parser.parse_args().output
    with tempfile.TemporaryDirectory() as directory, protected(Path(directory)) as story:
        steps = record(story)
    animate(steps, output)
    strangers = [step for step in steps if step.stranger is not None]
    reached = sum(step.passed for step in strangers)
    print(f"{output}: {reached} of {len(strangers)} reached, {output.stat().st_size // 1024} KiB")
    for step in steps:
        print(f"{step.seconds:6.1f}  {step.text}  {step.note}")


if __name__ == "__main__":
    main()
