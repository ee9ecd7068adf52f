"""Take the screenshots of the tutorial: its commands, then Chromium on the pages that they write.

    python docs/take_screenshots.py

Needs Chromium on the PATH. The pictures are reduced to 64 colours, so that they stay small.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import FloatRect, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from docs.run_examples import BLOCK, Session, steps  # noqa: E402 - found beside this file

PAGES = {"evaluation": "Evaluation", "explain": "Timeline"}
"""The pages, and the heading at which each picture begins."""
WIDTH, HEIGHT = 1000, 860


def take(browser: str, page: Path, picture: Path, heading: str) -> None:
    """Write a picture of a page from a heading on."""
    with sync_playwright() as playwright:
        window = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        tab = window.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        tab.goto(page.as_uri())
        box = tab.get_by_role("heading", name=heading, exact=True).first.bounding_box()
        top = max(0.0, (box or {"y": 0.0})["y"] - 16)
        area: FloatRect = {"x": 0, "y": top, "width": WIDTH, "height": HEIGHT}
        tab.screenshot(path=picture, full_page=True, clip=area)
        window.close()
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
        for name, heading in PAGES.items():
            picture = ROOT / "docs" / "images" / f"{name}.png"
            take(browser, session.home / f"{name}.html", picture, heading)
            print(f"{picture.relative_to(ROOT)}: {picture.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
