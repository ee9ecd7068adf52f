"""Configuration files: a text on which the parser would spend too much is refused before it."""

from __future__ import annotations

from pathlib import Path

import pytest

from wavebreak import config
from wavebreak.errors import PolicyError

REFUSED = {
    "a" + ".a" * 16 + " = 1": "a key of more than 16 parts (at line 3)",
    "[" + "'a' . " * 17 + "a]": "a key of more than 16 parts (at line 3)",
    "x = " + "[" * 33 + "]" * 33: "nested more than 32 deep (at line 3)",
    "x = " + "{a = " * 33 + "1" + "}" * 33: "nested more than 32 deep (at line 3)",
    "x = " + "1" * 5_000: "a number is too long",
    "x = " + "1" * config.MAX_TOML: "exceeds 1,000,000 characters",
}
ACCEPTED = (
    "a" + ".a" * 15 + " = 1",
    "x = " + "[" * 32 + "]" * 32,
    f'x = "{"." * 99}{"[" * 99}\\"{"{" * 99}"',
    f"x = '{'.' * 99}{'[' * 99}\"'",
    f'x = """\n{"[." * 99}" \\""" \n"""',
    f"x = '''\n{'[.' * 99}\n'''",
    f"# it's {'[.' * 99}\nx = [1.5, 2.5] # \"",
    f"x = [{', '.join(['1.5'] * 99)}]",
)


def read(tmp_path: Path, text: str) -> dict[str, object]:
    path = tmp_path / "own.toml"
    path.write_text(f"# a file\n\n{text}\n", "utf-8")
    return config.read_toml(path)


@pytest.mark.parametrize("text", REFUSED, ids=range(len(REFUSED)))
def test_text_beyond_bounds_is_refused_with_a_fix(text: str, tmp_path: Path) -> None:
    with pytest.raises(PolicyError) as refused:
        read(tmp_path, text)
    assert REFUSED[text] in refused.value.what
    assert refused.value.fix


@pytest.mark.parametrize("text", ACCEPTED, ids=range(len(ACCEPTED)))
def test_marks_in_strings_and_comments_do_not_count(text: str, tmp_path: Path) -> None:
    assert read(tmp_path, text)


def test_every_shipped_file_is_within_bounds() -> None:
    paths = sorted(config.SHIPPED.rglob("*.toml"))
    assert paths
    assert all(config.read_toml(path) for path in paths)
