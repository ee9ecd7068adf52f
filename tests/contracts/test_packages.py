"""Every package is of one version, pinned to its siblings, and built from the tree alone."""

from __future__ import annotations

import gzip
import io
import json
import re
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from packages import build


def project(folder: Path) -> dict[str, object]:
    loaded: dict[str, object] = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))[
        "project"
    ]
    return loaded


def members(content: bytes) -> dict[str, bytes]:
    """Return the files of a compressed archive, below its one folder."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(content))) as archive:
        for member in archive.getmembers():
            file = archive.extractfile(member)
            assert file is not None
            found[member.name.partition("/")[2]] = file.read()
    return found


@pytest.mark.parametrize("folder", build.PYTHON, ids=lambda path: path.name)
def test_version_is_the_engines_and_siblings_are_pinned_to_it(folder: Path) -> None:
    about = project(folder)
    assert about["version"] == build.version()
    extras = about.get("optional-dependencies", {})
    assert isinstance(extras, dict)
    needed = [*about["dependencies"], *(each for extra in extras.values() for each in extra)]  # type: ignore[misc]
    own = f"{about['name']}["
    siblings = [each for each in needed if each.startswith("wavebreak") and own not in each]
    assert all(each.endswith(f"=={build.version()}") for each in siblings)
    stated = [
        text[1]
        for path in folder.glob("src/*/*.py")
        if (text := re.search(r'^__version__ = "(.*)"', path.read_text("utf-8"), re.M))
    ]
    assert set(stated) <= {build.version()}
    assert stated or about["name"] != "wavebreak"


def test_npm_package_is_of_the_same_version() -> None:
    about = json.loads((build.NPM / "package.json").read_text("utf-8"))
    assert about["version"] == build.npm_version(build.version())


@pytest.mark.parametrize("wrong", ["", "0.3", "0.3.0.post1", "v0.3.0"])
def test_a_version_that_npm_could_not_carry_is_refused(wrong: str) -> None:
    with pytest.raises(build.BuildError, match="is no version"):
        build.npm_version(wrong)


def test_rock_carries_every_file_of_the_module(tmp_path: Path) -> None:
    with zipfile.ZipFile(build.rock(tmp_path)) as rock:
        (spec,) = (name for name in rock.namelist() if name.endswith(".rockspec"))
        (source,) = (name for name in rock.namelist() if name.endswith(".tar.gz"))
        text, content = rock.read(spec).decode(), rock.read(source)
    sources = {path.name for path in build.PROSODY.glob("*.lua")}
    assert set(re.findall(r'= "(\S+\.lua)"', text)) == sources
    assert f'version = "{build.version()}-{build.ROCK_REVISION}"' in text
    assert members(content) == {
        path.name: path.read_bytes() for path in build.PROSODY.iterdir() if path.is_file()
    }


def test_archive_of_ejabberds_module_is_what_the_how_to_copies(tmp_path: Path) -> None:
    found = members(build.ejabberd_module(tmp_path).read_bytes())
    assert {"mod_wavebreak.spec", "conf/mod_wavebreak.yml", "src/mod_wavebreak.erl"} <= set(found)
    for name, content in found.items():
        assert content == (build.EJABBERD / name).read_bytes()


def test_the_same_tree_makes_the_same_bytes(tmp_path: Path) -> None:
    for make in (build.rock, build.ejabberd_module):
        twice = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir(exist_ok=True)
            twice.append(make(tmp_path / name).read_bytes())
        assert twice[0] == twice[1]


def test_npm_package_carries_the_built_client(tmp_path: Path) -> None:
    found = members(build.npm_package(tmp_path).read_bytes())
    assert {"package.json", "README.md", "LICENSE", "dist/index.js", "dist/index.d.ts"} <= set(
        found
    )
    assert not any(name.startswith(("src/", "tests/", "node_modules/")) for name in found)


def test_a_python_package_that_does_not_build_says_which(tmp_path: Path) -> None:
    broken = build.ROOT / "packages"
    with pytest.raises(build.BuildError, match="packages"):
        build.python_package(broken, tmp_path)
