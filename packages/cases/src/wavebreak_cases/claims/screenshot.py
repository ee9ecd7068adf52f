"""Rendering of a captured page in Chromium, from the captured exchanges and nothing else.

Every request of the browser is answered from the capture or aborted. Three more barriers: names
resolve to nothing, the proxy is a port where nothing listens, and WebRTC may not bypass it. Service
workers are off. As root, Chromium has no sandbox of its own: run captures of hostile pages as
another user, or in a container.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavebreak_cases.claims.capture import CaptureResult
from wavebreak_cases.claims.config import RenderLimits, load_limits

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright, Route

_DROPPED_HEADERS = {
    "content-encoding", "content-length", "transfer-encoding", "connection", "keep-alive", "link",
    "location", "refresh", "strict-transport-security", "public-key-pins", "alt-svc",
    "report-to", "nel", "reporting-endpoints", "content-security-policy-report-only",
}  # fmt: skip
_ISOLATION_FLAGS = (
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--no-pings",
)
_DEAD_PROXY = "http://127.0.0.1:9"


def _playwright() -> Any:
    """Import Playwright when a page is rendered: no other command should pay for it."""
    return import_module("playwright.sync_api")


@dataclass(frozen=True)
class Rendering:
    """What the browser rendered: PNG, its HTML, and the URLs that were `missing` in the capture.

    Without a browser, or where it failed, `screenshot` is empty and `note` says why.
    """

    screenshot: bytes = b""
    html: str = ""
    missing: tuple[str, ...] = ()
    note: str = ""


def find_browser(named: Path | None = None, bounds: RenderLimits | None = None) -> Path | None:
    """Find the browser's executable.

    Args:
        named: Its path, where the caller has one; nothing else is looked for then.
        bounds: Whose `browsers` are looked for in turn, by default the shipped limits.

    Returns:
        The executable: the one named, else the first of `browsers` that is there, else the newest
        that `playwright install chromium` has downloaded; None where there is none.
    """
    if named:
        return _executable(str(named))
    looked_for = [*(bounds or load_limits().render).browsers, *_playwright_browsers()]
    return next((executable for name in looked_for if (executable := _executable(name))), None)


def _executable(name: str) -> Path | None:
    path = shutil.which(name)
    return Path(path) if path else None


def _playwright_browsers() -> list[str]:
    """Browsers that Playwright has downloaded for this user, newest first."""
    own = os.environ.get("PLAYWRIGHT_BROWSERS_PATH")
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    root = Path(own) if own else Path(cache) / "ms-playwright"
    browsers = {
        int(p.parts[-3].rpartition("-")[2]): p for p in root.glob("chromium-*/chrome-linux*/chrome")
    }
    return [str(browsers[build]) for build in sorted(browsers, reverse=True)]


def render(
    captured: CaptureResult, executable: Path | None, bounds: RenderLimits | None = None
) -> Rendering:
    """Render the captured page; without a working browser, the result has a note in its place."""
    if executable is None:
        return Rendering(note="no browser was found: no screenshot was taken")
    bounds = bounds or load_limits().render
    try:
        with _playwright().sync_playwright() as driver:
            browser = _launch(driver, executable)
            try:
                return _render_page(captured, browser, bounds)
            finally:
                browser.close()
    except (_playwright().Error, OSError) as error:
        return Rendering(note=f"the browser failed: {str(error).splitlines()[0][:200]}")


def _launch(driver: Playwright, executable: Path) -> Browser:
    return driver.chromium.launch(
        executable_path=executable,
        headless=True,
        chromium_sandbox=os.geteuid() != 0,
        proxy={"server": _DEAD_PROXY, "bypass": "<-loopback>"},
        args=list(_ISOLATION_FLAGS),
    )


def _render_page(captured: CaptureResult, browser: Browser, bounds: RenderLimits) -> Rendering:
    missing: dict[str, None] = {}
    context = browser.new_context(
        viewport={"width": bounds.width, "height": bounds.height},
        service_workers="block",
        accept_downloads=False,
    )
    context.set_default_timeout(bounds.seconds * 1000)
    context.route("**/*", _serve_captured(captured, missing))
    context.route_web_socket("**/*", lambda socket: socket.close())
    page = context.new_page()
    note = ""
    try:
        page.goto(captured.page().url, wait_until="load")
        page.wait_for_load_state("networkidle", timeout=bounds.seconds * 200)
    except _playwright().Error as error:
        note = f"the page was not rendered completely: {str(error).splitlines()[0][:200]}"
    tall = int(page.evaluate("document.documentElement.scrollHeight") or bounds.height)
    if tall > bounds.tallest:
        note = note or f"the screenshot shows {bounds.tallest:,} of {tall:,} pixels"
        page.set_viewport_size({"width": bounds.width, "height": bounds.tallest})
    shot = page.screenshot(full_page=tall <= bounds.tallest, animations="disabled")
    return Rendering(shot, page.content(), tuple(missing), note)


def _serve_captured(captured: CaptureResult, missing: dict[str, None]) -> Callable[[Route], None]:
    def answer(route: Route) -> None:
        request = route.request
        exchange = captured.follow(request.url) if request.method == "GET" else None
        if exchange is None or exchange.location:
            if request.method == "GET" and request.url.startswith("http"):
                missing[request.url] = None
            route.abort()
            return
        headers = {k: v for k, v in exchange.headers.items() if k.lower() not in _DROPPED_HEADERS}
        route.fulfill(status=exchange.status, headers=headers, body=exchange.body)

    return answer
