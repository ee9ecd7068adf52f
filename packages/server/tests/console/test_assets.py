"""The console's front end: its sources, and what `python frontend/build.py` made of them."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[4]
FRONTEND = ROOT / "frontend"
STATIC = ROOT / "packages/server/src/wavebreak_server/console/static/console"
STYLES = sorted((FRONTEND / "src" / "styles").glob("*.css"))
BUNDLES = ["console.js", "theme.js", "charts.js", "graph.js"]
FIRST_LOAD = [
    "console.css",
    "console.js",
    "theme.js",
    "icons.svg",
    "fonts/inter-latin.woff2",
    "fonts/heebo-hebrew.woff2",
]
KILOBYTE = 1000
ICONS = {
    *("overview", "queue", "account", "operators", "policy", "cases", "appeals", "reports"),
    *("settings", "search", "check", "x", "clock", "undo", "flag", "user", "users", "lock"),
    *("alert", "chevron", "external", "key", "moon", "sun", "menu", "keyboard", "download"),
    "filter",
}
OUTCOMES = ["allow", "observe", "challenge", "limit", "restrict", "suspend", "ban"]

TEXT_PAIRS = [
    *product(
        ["text", "text-muted", "accent-text"],
        ["bg", "surface", "surface-raised", "surface-sunken", "surface-hover", "surface-selected"],
    ),
    *((f"{tone}-text", f"{tone}-soft") for tone in [*OUTCOMES, "info"]),
    *product(
        [f"{tone}-text" for tone in ["allow", "limit", "suspend"]],
        ["bg", "surface", "surface-hover"],
    ),
    *(("text", f"{tone}-soft") for tone in ["allow", "limit", "suspend", "info"]),
    ("on-accent", "accent"),
    ("on-accent", "accent-hover"),
    ("on-danger", "danger"),
    ("on-danger", "danger-hover"),
    ("accent-text", "accent-soft"),
]
PART_PAIRS = [
    *product(["border-strong", "accent", "danger"], ["bg", "surface", "surface-sunken"]),
    *product([*OUTCOMES, *(f"chart-{n}" for n in range(1, 7))], ["surface", "surface-sunken"]),
]


def built(name: str) -> bytes:
    path = STATIC / name
    assert path.exists(), f"{path} is missing. Fix: python frontend/build.py"
    return path.read_bytes()


def lock() -> dict[str, Any]:
    text = (FRONTEND / "package-lock.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def tokens() -> dict[str, tuple[str, str]]:
    text = (FRONTEND / "src" / "styles" / "tokens.css").read_text(encoding="utf-8")
    pairs = re.findall(r"--([\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);", text)
    return {name: (light, dark) for name, light, dark in pairs}


def luminance(color: str) -> float:
    channels = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    dark, light = sorted([luminance(first), luminance(second)])
    return (light + 0.05) / (dark + 0.05)


def test_lock_names_no_address() -> None:
    text = (FRONTEND / "package-lock.json").read_text(encoding="utf-8")
    assert "://" not in text
    assert '"resolved"' not in text


def test_lock_has_an_integrity_for_each_package() -> None:
    packages = {name: entry for name, entry in lock()["packages"].items() if name}
    assert packages
    assert [name for name, entry in packages.items() if "integrity" not in entry] == []


def test_lock_pins_what_package_json_asks_for() -> None:
    asked = json.loads((FRONTEND / "package.json").read_text(encoding="utf-8"))
    root = lock()["packages"][""]
    for field in ("dependencies", "devDependencies"):
        assert root[field] == asked[field]
        for name, version in asked[field].items():
            assert lock()["packages"][f"node_modules/{name}"]["version"] == version


def test_contrast_known_pairs_are_computed_right() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_tokens_text_contrast_is_at_least_4_5(theme: int) -> None:
    colors = tokens()
    found = {
        (front, back): round(contrast(colors[front][theme], colors[back][theme]), 2)
        for front, back in TEXT_PAIRS
    }
    assert {pair: ratio for pair, ratio in found.items() if ratio < 4.5} == {}


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_tokens_contrast_of_parts_is_at_least_3(theme: int) -> None:
    colors = tokens()
    found = {
        (front, back): round(contrast(colors[front][theme], colors[back][theme]), 2)
        for front, back in PART_PAIRS
    }
    assert {pair: ratio for pair, ratio in found.items() if ratio < 3} == {}


def test_styles_name_no_left_and_right() -> None:
    physical = re.compile(
        r"(?:margin|padding|border|scroll-margin|scroll-padding)-(?:left|right)"
        r"|border-(?:top|bottom)-(?:left|right)-radius"
        r"|(?:^|[\s;{])(?:left|right)\s*:"
        r"|(?:text-align|float|clear|justify-\w+|caption-side)\s*:\s*(?:left|right)"
        r"|inset:\s*\S+\s+\S+\s+\S+\s+\S+;",
        re.MULTILINE,
    )
    assert STYLES
    found = {path.name: physical.findall(path.read_text(encoding="utf-8")) for path in STYLES}
    assert {name: matches for name, matches in found.items() if matches} == {}


def test_styles_name_no_color_but_tokens() -> None:
    for path in STYLES:
        if path.name not in {"tokens.css", "print.css"}:
            assert re.findall(r"#[0-9a-fA-F]{3,8}\b", path.read_text(encoding="utf-8")) == []


def test_styles_use_tokens_that_exist() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in STYLES)
    defined = set(re.findall(r"(--[\w-]+)\s*:", text))
    used = set(re.findall(r"var\((--[\w-]+)\)", text))
    scripts = "\n".join(path.read_text("utf-8") for path in (FRONTEND / "src").rglob("*.ts"))
    assert (used | set(re.findall(r"var\((--[\w-]+)\)", scripts))) - defined == set()


def test_every_outcome_has_a_pill_with_its_own_shape() -> None:
    text = (FRONTEND / "src" / "styles" / "components.css").read_text(encoding="utf-8")
    shapes = [re.search(rf"\.pill-{name}::before \{{(.*?)\}}", text, re.S) for name in OUTCOMES]
    assert None not in shapes
    assert len({shape.group(1) for shape in shapes if shape}) == len(OUTCOMES)


def test_icons_are_all_there_and_take_the_text_color() -> None:
    text = (FRONTEND / "src" / "icons.svg").read_text(encoding="utf-8")
    names = re.findall(r'<symbol id="([\w-]+)"', text)
    assert len(names) == len(set(names))
    assert set(names) >= ICONS
    assert re.findall(r"style|#[0-9a-f]{3,6}\b", text) == []


def test_scripts_put_no_text_into_the_page_as_markup() -> None:
    for path in (FRONTEND / "src").rglob("*.ts"):
        text = path.read_text(encoding="utf-8")
        assert re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write", text) == []


@pytest.mark.parametrize("name", BUNDLES)
def test_bundle_evaluates_no_string(name: str) -> None:
    text = built(name).decode()
    assert re.findall(r"\beval\(|\bFunction\(|set(?:Timeout|Interval)\([\"'`]", text) == []


@pytest.mark.parametrize("name", [*BUNDLES, "console.css"])
def test_bundle_loads_nothing_from_elsewhere(name: str) -> None:
    text = built(name).decode()
    loads = r"(?:import\(|url\(|fetch\(|src=)[\"'`]?(?:https?:)?//"
    assert re.findall(loads, text) == []
    assert "url(data:" not in text.replace('"', "")


def sent(name: str, encoding: str) -> int:
    """Bytes of a file as a browser gets it that takes an encoding."""
    return len(built(name if name.endswith(".woff2") else f"{name}.{encoding}"))


@pytest.mark.parametrize("encoding", ["gz", "br"])
def test_first_load_fits_into_its_budget(encoding: str) -> None:
    sizes = {name: sent(name, encoding) for name in FIRST_LOAD}
    assert sizes["console.js"] <= 35 * KILOBYTE
    assert sum(sizes.values()) <= 120 * KILOBYTE


@pytest.mark.parametrize("name", [*BUNDLES, "console.css", "icons.svg", "favicon.svg"])
def test_compressed_file_is_the_file(name: str) -> None:
    assert gzip.decompress(built(f"{name}.gz")) == built(name)
    assert sent(name, "br") < len(built(name))


def test_styles_load_each_font_by_its_version() -> None:
    loaded = re.findall(r"url\((fonts/[^)?]+)\?v=([0-9a-f]{8})\)", built("console.css").decode())
    assert len(loaded) == 2
    for name, version in loaded:
        assert hashlib.sha256(built(name)).hexdigest().startswith(version)


def test_manifest_fits_the_files() -> None:
    manifest = json.loads(built("manifest.json"))
    files = {
        path.relative_to(STATIC).as_posix(): path.read_bytes()
        for path in STATIC.rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }
    assert {name: entry["sha256"] for name, entry in manifest["files"].items()} == {
        name: hashlib.sha256(content).hexdigest() for name, content in files.items()
    }
    assert {name: entry["bytes"] for name, entry in manifest["files"].items()} == {
        name: len(content) for name, content in files.items()
    }


def test_licences_name_each_bundled_library() -> None:
    text = built("third-party-licenses.txt").decode()
    for name in json.loads((FRONTEND / "package.json").read_text("utf-8"))["dependencies"]:
        assert name == "esbuild" or re.search(rf"^{re.escape(name)} \d", text, re.M), name
