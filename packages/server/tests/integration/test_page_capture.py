"""Capturing from servers that redirect, drip, flood, lie and lead inward."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from warcio.archiveiterator import ArchiveIterator

from support.hostile_website import ACTOR, AT, DOT, PAGE, Web, outside, web
from wavebreak.errors import ClaimError
from wavebreak.ssrf_guard import ForbiddenAddressError
from wavebreak_cases.bundles.report_text import ReportText
from wavebreak_cases.claims.capture import CaptureEnvironment, CaptureResult, PageCapture
from wavebreak_cases.claims.config import CaptureLimits, load_limits
from wavebreak_cases.claims.exhibits import (
    CUSTODY,
    EXHIBIT,
    capture_page,
    check_exhibit,
    load_exhibit,
    read_custody,
)
from wavebreak_cases.claims.screenshot import render
from wavebreak_cases.claims.warc import encode_warc, read_warc


@pytest.fixture
def site() -> Iterator[Web]:
    with web() as server:
        yield server


def taken(url: str, world: CaptureEnvironment | None = None, **bounds: float) -> CaptureResult:
    chosen: CaptureLimits = msgspec.structs.replace(load_limits().capture, **bounds)
    return PageCapture(url, world or outside(), chosen).fetch_page()


def records(warc: bytes) -> list[tuple[dict[str, str], bytes]]:
    """An independent small reader of gzipped WARC 1.1: header fields and block of each record."""
    plain, found = gzip.decompress(warc), []
    while plain:
        head, _, rest = plain.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        assert lines[0] == "WARC/1.1"
        fields = dict(line.split(": ", 1) for line in lines[1:])
        length = int(fields["Content-Length"])
        assert rest[length : length + 4] == b"\r\n\r\n"
        found.append((fields, rest[:length]))
        plain = rest[length + 4 :]
    return found


def test_capture_has_redirects_requisites_and_stylesheets(site: Web) -> None:
    made = taken(site.url("/start"))
    assert [e.url.rpartition("/")[2] for e in made.exchanges] == [
        "start", "middle", "page", "style.css", "dot.png", "more.css", "ground.png",
    ]  # fmt: skip
    assert made.page().body == PAGE.encode()
    assert made.gaps == {}
    assert {e.address for e in made.exchanges} == {"127.0.0.1"}


def test_warc_is_read_by_two_readers_with_valid_digests(site: Web) -> None:
    made = taken(site.url("/start"))
    warc = encode_warc(made.exchanges, {"software": "t", "operator": "O"}, AT)
    read = records(warc)
    kinds = [fields["WARC-Type"] for fields, _ in read]
    assert kinds == ["warcinfo", *["response", "request"] * 7]
    for fields, block in read:
        digest = f"sha256:{hashlib.sha256(block).hexdigest()}"
        assert fields["WARC-Block-Digest"] == digest
        if fields["WARC-Type"] == "response":
            payload = hashlib.sha256(block.partition(b"\r\n\r\n")[2]).hexdigest()
            assert fields["WARC-Payload-Digest"] == f"sha256:{payload}"
    identities = {fields["WARC-Record-ID"]: fields for fields, _ in read}
    assert len(identities) == len(read)
    for fields, block in read:
        if fields["WARC-Type"] == "request":
            response = identities[fields["WARC-Concurrent-To"]]
            assert response["WARC-Target-URI"] == fields["WARC-Target-URI"]
            assert response["WARC-IP-Address"] == "127.0.0.1"
            assert block.startswith(b"GET /")
    assert b"operator: O\r\n" in read[0][1]
    by_warcio = [
        (record.rec_type, record.content_stream().read())
        for record in ArchiveIterator(io.BytesIO(warc), check_digests="raise")
    ]
    assert [kind for kind, _ in by_warcio] == kinds
    assert ("response", PAGE.encode()) in by_warcio
    assert [page.body for page in read_warc(warc, load_limits().upload)][2] == PAGE.encode()


def test_the_same_exchanges_give_the_same_bytes(site: Web) -> None:
    made = taken(site.url("/page"))
    first, second = (encode_warc(made.exchanges, {"a": "b"}, AT) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("path", ["/packed", "/chunked"])
def test_compressed_and_chunked_bodies_are_kept_and_decoded(site: Web, path: str) -> None:
    made = taken(site.url(path)).page()
    assert made.body == PAGE.encode()
    assert PAGE.encode() not in made.response
    warc = encode_warc([made], {}, AT)
    assert [page.body for page in read_warc(warc, load_limits().upload)] == [PAGE.encode()]


@pytest.mark.parametrize(
    ("path", "cut"), [("/bomb", "length"), ("/huge", "length"), ("/short", "disconnect")]
)
def test_flooding_or_broken_response_is_cut_and_reported(site: Web, path: str, cut: str) -> None:
    made = taken(site.url(path), page_bytes=200_000)
    assert made.page().cut == cut
    assert len(made.page().body) <= 200_000
    assert len(made.page().response) <= 200_000
    assert list(made.gaps.values()) == [f"not whole: {cut}"]
    fields = records(encode_warc(made.exchanges, {}, AT))[1][0]
    assert fields["WARC-Truncated"] == cut


def test_slow_server_is_abandoned_at_deadline(site: Web) -> None:
    made = taken(site.url("/slow"), seconds_a_request=0.4)
    assert made.page().cut == "time"
    assert made.page().body.startswith(b"<p>drop")
    made = taken(site.url("/slow_head"), seconds_a_request=0.4)
    assert made.page().cut == "time"
    assert made.page().body == b""


@pytest.mark.parametrize("path", ["/circle", "/endless"])
def test_redirects_without_end_are_refused(site: Web, path: str) -> None:
    with pytest.raises(ClaimError, match="redirects"):
        taken(site.url(path))
    assert len(site.hits) <= 12


def test_nonsense_and_silence_are_refused(site: Web) -> None:
    with pytest.raises(ClaimError, match="no response"):
        taken(site.url("/nonsense"))
    with pytest.raises(ClaimError, match="no response"):
        taken("http://shop.example:1/")


def test_private_addresses_are_refused_at_every_hop(site: Web) -> None:
    with pytest.raises(ForbiddenAddressError, match="public internet"):
        taken(site.url("/page"), outside(allow_private=False))
    assert site.hits == []
    with pytest.raises(ForbiddenAddressError, match="not http or https"):
        taken(site.url("/to_a_file"))


def rebinding(host: str, port: int) -> list[str]:
    """The shop is on the loopback, by test; what its pages lead to has no address."""
    if host == "private.example":
        raise ForbiddenAddressError("the host is not on the public internet")
    return ["127.0.0.1"]


def test_private_redirect_is_refused_and_image_is_a_gap(site: Web) -> None:
    world = CaptureEnvironment(lambda: AT, rebinding, True)
    with pytest.raises(ForbiddenAddressError, match="public internet"):
        taken(site.url("/inward"), world)
    made = taken(site.url("/inside"), world)
    assert list(made.gaps) == ["http://private.example/secret.png"]
    assert made.exchanges[-1].body == DOT


def test_dns_rebinding_cannot_move_the_connection(site: Web) -> None:
    answers = iter([["1.1.1.1"], ["127.0.0.1"]])
    asked = []

    def resolver(host: str, port: int) -> list[str]:
        asked.append(host)
        return next(answers)

    with pytest.raises(ClaimError, match="no response"):
        taken(site.url("/page"), CaptureEnvironment(lambda: AT, resolver), seconds_a_request=0.2)
    assert asked == ["shop.example"]
    assert site.hits == []
    with pytest.raises(ForbiddenAddressError, match="public internet"):
        taken(site.url("/page"), CaptureEnvironment(lambda: AT, resolver))
    assert site.hits == []


def test_capture_stays_within_budget(site: Web) -> None:
    made = taken(site.url("/many"), requisites=5)
    assert len(made.exchanges) == 6
    assert set(made.gaps.values()) == {"more than 5 requisites"}
    made = taken(site.url("/many"), total_bytes=10_000)
    assert sum(len(e.response) for e in made.exchanges) <= 10_000
    assert "more than 10,000 bytes in all" in made.gaps.values()


def test_capture_without_browser_is_complete_but_screenshot(site: Web, tmp_path: Path) -> None:
    exhibit = capture_page(site.url("/start"), tmp_path / "e", ACTOR, outside(), browser=None)
    assert [kept.path for kept in exhibit.files] == ["page.warc.gz"]
    assert exhibit.details["screenshot"] == "no browser was found: no screenshot was taken"
    assert exhibit.source == site.url("/start")
    assert exhibit.details["led_to"] == site.url("/page")
    assert load_exhibit(tmp_path / "e") == exhibit
    assert check_exhibit(tmp_path / "e") == []


def test_failing_browser_is_reported(site: Web, tmp_path: Path) -> None:
    broken = tmp_path / "chromium"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    drawn = render(taken(site.url("/page")), broken)
    assert drawn.screenshot == b""
    assert drawn.note.startswith("the browser failed")


def test_browser_renders_capture_and_missing_urls_are_fetched(
    site: Web, tmp_path: Path, browser_path: Path
) -> None:
    exhibit = capture_page(
        site.url("/start"), tmp_path / "e", ACTOR, outside(), browser=browser_path
    )
    assert [kept.role for kept in exhibit.files] == ["warc", "screenshot", "rendered"]
    assert (tmp_path / "e" / "screenshot.png").read_bytes().startswith(b"\x89PNG")
    assert "late!" in (tmp_path / "e" / "rendered.html").read_text("utf-8")
    assert exhibit.details["screenshot"] == "complete"
    assert site.hits.count("/late") == 1


def test_browser_has_no_network_access(site: Web, browser_path: Path) -> None:
    captured = taken(site.url("/leaks"), requisites=1)
    before = list(site.hits)
    drawn = render(captured, browser_path)
    assert site.hits == before
    assert drawn.screenshot
    assert all("/leak" in url or ".png" in url for url in drawn.missing)


def test_custody_chain_reports_any_change(site: Web, tmp_path: Path) -> None:
    made = tmp_path / "e"
    capture_page(site.url("/page"), made, ACTOR, outside())
    first = read_custody(made)[0]
    for said in (first.what, first.changes):
        assert re.search("[א-ת]", ReportText("he").custody(said)), said
    assert (first.who, first.where, first.why, first.authority) == (
        "Investigator A", "bench 1", "test of a capture", "mandate 12",
    )  # fmt: skip
    assert "requested anew" in first.changes
    warc = made / "page.warc.gz"
    whole = warc.read_bytes()
    warc.write_bytes(b"\0" + whole[1:])
    assert check_exhibit(made) == ["page.warc.gz is not what was taken: its SHA-256 differs"]
    warc.unlink()
    assert check_exhibit(made) == ["page.warc.gz is absent"]
    warc.write_bytes(whole)
    line = json.loads((made / CUSTODY).read_text("utf-8"))
    (made / CUSTODY).write_text(json.dumps(line | {"previous": "1" * 64}) + "\n", "utf-8")
    assert "does not follow" in check_exhibit(made)[0]
    told = json.loads((made / EXHIBIT).read_text("utf-8"))
    (made / EXHIBIT).write_text(json.dumps(told | {"source": "http://other.example/"}), "utf-8")
    with pytest.raises(ClaimError, match="was changed"):
        load_exhibit(made)


def test_capture_does_not_overwrite_another(site: Web, tmp_path: Path) -> None:
    capture_page(site.url("/page"), tmp_path / "e", ACTOR, outside())
    with pytest.raises(ClaimError, match="not empty"):
        capture_page(site.url("/page"), tmp_path / "e", ACTOR, outside())
