"""The integrations' set-up: which server is new enough, and whence a newer one comes."""

from __future__ import annotations

from pathlib import Path

import pytest

from integrations import setup

DEB822 = """\
Types: deb
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""


def etc(place: Path, name: str, text: str) -> Path:
    """Return a directory as /etc/apt, with one file of sources beside one of somebody else."""
    (place / "sources.list.d").mkdir(parents=True)
    other = "deb https://packages.example/tool stable main\n"
    (place / "sources.list.d" / "a-tool.list").write_text(other, "utf-8")
    (place / name).write_text(text, "utf-8")
    return place


@pytest.mark.parametrize(
    ("server", "there", "expected"),
    [
        ("prosody", "0.12.3-1+deb12u1", False),
        ("prosody", "13.0.1-1~bpo12+1", True),
        ("ejabberd", "23.01-1", False),
        ("ejabberd", "24.12-3~bpo12+1", True),
        ("ejabberd", "1:25.03", True),
        ("ejabberd", "", True),
    ],
)
def test_version_is_new_enough(server: str, there: str, expected: bool) -> None:
    assert setup.is_new_enough(server, there) is expected


@pytest.mark.parametrize(
    ("name", "text", "key"),
    [
        ("sources.list.d/debian.sources", DEB822,
         "/usr/share/keyrings/debian-archive-keyring.gpg"),
        ("sources.list", "deb http://mirror.example/debian bookworm main contrib\n", ""),
        ("sources.list",
         "# a\ndeb [arch=amd64 signed-by=/etc/k.gpg] http://mirror.example/debian bookworm main\n",
         "/etc/k.gpg"),
    ],
)  # fmt: skip
def test_mirror_is_the_machines_own(tmp_path: Path, name: str, text: str, key: str) -> None:
    assert setup.mirror(etc(tmp_path, name, text)) == ("http://mirror.example/debian", key)


def test_machine_without_a_mirror_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(setup.SetupError, match="install the servers by hand"):
        setup.mirror(etc(tmp_path, "sources.list", ""))


def test_backports_are_read_from_lists_of_our_own(tmp_path: Path) -> None:
    sources = etc(tmp_path / "etc", "sources.list.d/debian.sources", DEB822)
    options = setup.with_backports("bookworm", sources, tmp_path / "cache")
    own = tmp_path / "cache" / "apt"
    lines = (own / "sources.list").read_text("utf-8").splitlines()
    assert [line.split()[-2] for line in lines] == ["bookworm", "bookworm-backports"]
    assert all("signed-by=/usr/share/keyrings" in line for line in lines)
    assert options[0::2] == ["-o"] * (len(options) // 2)
    assert f"Dir::State::Lists={own / 'lists'}" in options
    assert "APT::Default-Release=bookworm-backports" in options


APT = """#!/bin/sh
echo call >>{calls}
[ $(wc -l <{calls}) -gt 2 ] || {{
  echo "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 12 (apt-get)" >&2
  exit 100
}}
echo done
"""


@pytest.mark.parametrize(("max_wait_s", "call_count"), [(60, 3), (-1, 1)])
def test_lock_of_the_package_manager_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    max_wait_s: int, call_count: int,
) -> None:  # fmt: skip
    calls, apt = tmp_path / "calls", tmp_path / "apt-get"
    apt.write_text(APT.format(calls=calls), "utf-8")
    apt.chmod(0o755)
    monkeypatch.setattr(setup, "POLL_S", 0)
    monkeypatch.setattr(setup, "MAX_WAIT_S", max_wait_s)
    if max_wait_s > 0:
        assert setup.run([str(apt), "update"]) == "done\n"
        text = capsys.readouterr().out
        assert text.count("Waiting for the package manager's lock: E: Could not get lock") == 1
        assert "held by process 12" in text
    else:
        with pytest.raises(setup.SetupError, match="Could not get lock"):
            setup.run([str(apt), "update"])
    assert len(calls.read_text("utf-8").splitlines()) == call_count
