"""Take the screenshots of the documentation: of pages that commands write, and of the console.

    python docs/take_screenshots.py            # all
    python docs/take_screenshots.py console    # of the console alone

The tutorial's commands write two pages; the console is served on the demo's day. Needs Chromium on
the PATH. The pictures are reduced to 128 colours, so that they stay small.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Error, FloatRect, Page, sync_playwright

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
    reduce_colours(picture)


CONSOLE = {"console-queue": "/console/queue", "console-operator": "/console/operators"}
"""Pictures of the console, and their pages; of operators, the first one's own page."""
PASSWORD = "a password for pictures only"


def serve_demo(home: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Serve the console on the demo's day; return the process and the address."""
    wavebreak = [sys.executable, "-m", "wavebreak"]
    world, password = home / "demo" / "world", home / "password"
    subprocess.run([*wavebreak, "demo", "-o", str(home / "demo"), "--no-console"], check=True)
    password.write_text(PASSWORD, encoding="utf-8")
    person = ["user", "create", str(home / "var"), "dana", "--role", "lead", "--new"]
    subprocess.run([*wavebreak, *person, "--password-file", str(password)], check=True)
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = int(found.getsockname()[1])
    options = ["--enforce", "--backfill", str(world), "--port", str(port)]
    process = subprocess.Popen([*wavebreak, "serve", str(home / "var"), *options])
    return process, f"http://localhost:{port}"


def take_console(browser: str, home: Path) -> None:
    """Write the pictures of the console."""
    process, address = serve_demo(home)
    try:
        with sync_playwright() as playwright:
            window = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
            tab = window.new_page(viewport={"width": 1280, "height": 800})
            _sign_in(tab, address)
            for name, path in CONSOLE.items():
                tab.goto(address + path)
                if name == "console-operator":
                    tab.locator("a[data-row-open]").first.click()
                tab.wait_for_timeout(3_000)
                picture = ROOT / "docs" / "images" / f"{name}.png"
                tab.screenshot(path=picture)
                reduce_colours(picture)
            window.close()
    finally:
        process.terminate()
        process.wait(60)


def _sign_in(tab: Page, address: str) -> None:
    """Sign in when the service answers, and wait until the demo's day is decided."""
    for _ in range(300):
        with contextlib.suppress(Error):
            tab.goto(f"{address}/console/user/login/")
            break
        tab.wait_for_timeout(1_000)
    tab.fill("[name=login]", "dana")
    tab.fill("[name=password]", PASSWORD)
    tab.get_by_role("button", name="Sign in", exact=True).click()
    for _ in range(300):
        tab.goto(f"{address}/console/operators")
        if tab.locator("a[data-row-open]").count():
            break
        tab.wait_for_timeout(1_000)
    tab.wait_for_timeout(10_000)


def reduce_colours(picture: Path) -> None:
    """Reduce a picture to 128 colours, and print its size."""
    with Image.open(picture) as image:
        image.convert("RGB").quantize(128).save(picture, optimize=True)
    print(f"{picture.relative_to(ROOT)}: {picture.stat().st_size:,} bytes")


def main() -> int:
    """Take the pictures (`console`: its own alone); return 1 where there is no browser."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        print("no Chromium on the PATH; fix: install chromium")
        return 1
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as directory:
        if sys.argv[1:] == ["console"]:
            take_console(browser, Path(directory))
            return 0
        session = Session(Path(directory))
        for match in BLOCK.finditer(text):
            if match["language"] == "console":
                for command, _ in steps(match["body"]):
                    session.run(re.sub(r"^\$ ", "", command[0]))
        for name, heading in PAGES.items():
            picture = ROOT / "docs" / "images" / f"{name}.png"
            take(browser, session.home / f"{name}.html", picture, heading)
        take_console(browser, Path(directory))
    return 0


if __name__ == "__main__":
    sys.exit(main())
