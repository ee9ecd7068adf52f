"""Take the screenshots of the tutorial: its commands, then Chromium on the pages that they write.

    python docs/take_screenshots.py

Needs Chromium on the PATH. The pictures are reduced to 64 colours, so that they stay small.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from docs.run_examples import BLOCK, Session, steps  # noqa: E402 - found beside this file

PAGES = {"evaluation": (1000, 900), "explain": (1000, 900)}


def take(browser: str, page: Path, picture: Path, size: tuple[int, int]) -> None:
    """Write a picture of the top of a page."""
    command = [
        browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
        f"--screenshot={picture}", f"--window-size={size[0]},{size[1]}", page.as_uri(),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    with Image.open(picture) as image:
        image.convert("RGB").quantize(64).save(picture, optimize=True)


def main() -> int:
    """Run the tutorial and take its pictures; return 1 where there is no browser."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        print("no Chromium on the PATH; fix: install chromium")
        return 1
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as directory:
        session = Session(Path(directory))
        for match in BLOCK.finditer(text):
            if match["language"] == "console":
                for command, _ in steps(match["body"]):
                    session.run(re.sub(r"^\$ ", "", command[0]))
        for name, size in PAGES.items():
            picture = ROOT / "docs" / "images" / f"{name}.png"
            take(browser, session.home / f"{name}.html", picture, size)
            print(f"{picture.relative_to(ROOT)}: {picture.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
