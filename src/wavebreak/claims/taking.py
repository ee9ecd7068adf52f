"""Exhibits are made: a page is captured, a file is taken in."""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime
from pathlib import Path

from wavebreak import __version__
from wavebreak.claims import accepting, archiving
from wavebreak.claims.capturing import Capture, Captured, Outside
from wavebreak.claims.exhibits import Actor, Exhibit, Kept, Kind, Published, keep, seal
from wavebreak.claims.limits import Limits, limits
from wavebreak.claims.rendering import Rendered, render
from wavebreak.errors import ClaimError

SOFTWARE = f"wavebreak/{__version__}"
_CAPTURE = (
    "the page was requested anew for this capture: its server saw the request, and may have "
    "answered others otherwise"
)


def capture(
    url: str,
    directory: Path,
    actor: Actor,
    outside: Outside,
    *,
    browser: Path | None = None,
    bounds: Limits | None = None,
) -> Exhibit:
    """Capture a page into a new directory: page.warc.gz, screenshot.png, rendered.html.

    `browser` is Chromium's executable, or None for no screenshot. Raises ReachError, ClaimError;
    nothing is written then.
    """
    bounds = bounds or limits()
    at = outside.now()
    making = Capture(url, outside, bounds.capture)
    captured = making.take()
    drawn = render(captured, browser, bounds.render)
    for _ in range(bounds.capture.rounds - 1):
        if not drawn.missed or not making.more(drawn.missed):
            break
        drawn = render(captured, browser, bounds.render)
    directory = _new(directory)
    page = captured.page()
    about = {
        "software": SOFTWARE, "operator": actor.who, "isPartOf": captured.url,
        "description": actor.why, "robots": "not followed: evidence is taken as people see it",
    }  # fmt: skip
    warc = archiving.to_warc(captured.exchanges, about, at)
    files = [keep(directory, "page.warc.gz", warc, "application/warc", "warc")]
    files += _drawings(directory, drawn)
    exhibit = Exhibit(
        "capture", captured.url, at, tuple(files), actor, _modified(captured),
        _details(captured, drawn) | {"led_to": page.url, "status": str(page.status)},
    )  # fmt: skip
    seal(directory, exhibit, "captured from the network", _CAPTURE)
    return exhibit


def take_in(
    raw: bytes,
    directory: Path,
    actor: Actor,
    at: str,
    *,
    kind: Kind = "upload",
    source: str = "",
    published: Published | None = None,
    details: dict[str, str] | None = None,
    bounds: Limits | None = None,
) -> Exhibit:
    """Keep a file as it is in a new directory, under a name that tells its form.

    `source` is where it is from, in words. Raises ClaimError if its form is not taken or it is
    unsound; nothing is written then.
    """
    sort = accepting.checked(raw, (bounds or limits()).upload)
    directory = _new(directory)
    kept = keep(directory, f"original{sort.ending}", raw, sort.media, "original")
    told = {"form": sort.form, "software": SOFTWARE} | (details or {})
    exhibit = Exhibit(kind, source, at, (kept,), actor, published, told)
    seal(directory, exhibit, f"taken in: {kind}", "none: the file is kept as it came")
    return exhibit


def _new(directory: Path) -> Path:
    if directory.exists() and any(directory.iterdir()):
        raise ClaimError(f"{directory} is not empty", fix="give a new directory")
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def _drawings(directory: Path, drawn: Rendered) -> list[Kept]:
    if not drawn.screenshot:
        return []
    html = drawn.html.encode("utf-8", "replace")
    return [
        keep(directory, "screenshot.png", drawn.screenshot, "image/png", "screenshot"),
        keep(directory, "rendered.html", html, "text/html", "rendered"),
    ]


def _modified(captured: Captured) -> Published | None:
    """What the server says of the page's age: it was there then at the latest, if that is true."""
    said = captured.page().headers.get("last-modified", "")
    try:
        at = parsedate_to_datetime(said).astimezone(UTC)
    except ValueError:
        return None
    return Published(None, at.isoformat().replace("+00:00", "Z"), "the server's Last-Modified")


def _details(captured: Captured, drawn: Rendered) -> dict[str, str]:
    gaps = [f"{url[:200]}: {why}" for url, why in list(captured.gaps.items())[:50]]
    found = {
        "software": SOFTWARE,
        "address": captured.page().address,
        "exchanges": str(len(captured.exchanges)),
        "gaps": "; ".join(gaps) or "none",
        "screenshot": drawn.said or "complete",
    }
    missed = [url[:200] for url in drawn.missed][:20]
    return found | ({"asked_for_and_refused": " ".join(missed)} if missed else {})
