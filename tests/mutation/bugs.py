"""The bugs that are planted: `bugs.toml`, and what must hold of each before it is planted."""

from __future__ import annotations

import ast
import hashlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
LIST = Path(__file__).with_name("bugs.toml")


class Bug(NamedTuple):
    """A bug: what replaces which text of a file, what that breaks, and which tests should fail.

    Attributes:
        name: Its name.
        area: What kind of promise it breaks.
        file: The file, from the repository's root.
        text: What is replaced; it occurs once in the file.
        replacement: What stands there instead.
        breaks: What goes wrong, in words.
        tests: What should catch it, as pytest names tests.
    """

    name: str
    area: str
    file: str
    text: str
    replacement: str
    breaks: str
    tests: tuple[str, ...]

    @property
    def digest(self) -> str:
        """The bug in 16 hexadecimal digits: a result of another text or of other tests is stale."""
        parts = (self.file, self.text, self.replacement, *self.tests)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]

    def planted(self, root: Path) -> str:
        """Return the file's content with the bug; raises ValueError where the text is not there."""
        content = (root / self.file).read_text("utf-8")
        if (count := content.count(self.text)) != 1:
            raise ValueError(
                f"{self.name}: its text is {count} times in {self.file}: correct it in {LIST.name}"
            )
        return content.replace(self.text, self.replacement)

    def faults(self, root: Path) -> Iterator[str]:
        """Yield what is wrong with the bug itself: its text, or tests that there are not."""
        if not (root / self.file).is_file():
            yield f"{self.name}: there is no file {self.file}"
            return
        try:
            planted = self.planted(root)
            if planted == (root / self.file).read_text("utf-8"):
                yield f"{self.name}: it changes nothing"
            if self.file.endswith(".py"):
                ast.parse(planted)
        except SyntaxError as error:
            yield f"{self.name}: with it, {self.file} is no Python: {error.msg}"
        except ValueError as error:
            yield str(error)
        for test in self.tests:
            if fault := missing_test(root, test):
                yield f"{self.name}: {fault}"


def missing_test(root: Path, test: str) -> str:
    """Return why pytest would not find a test by its name; empty where it would.

    Args:
        root: The repository's root.
        test: A file, or `file::test`.
    """
    path, _, name = test.partition("::")
    if not (root / path).is_file():
        return f"there is no file {path}"
    named = re.search(rf"def {name.partition('[')[0]}\(", (root / path).read_text("utf-8"))
    return "" if named or not name else f"{path} has no test {name}"


def load_bugs(path: Path = LIST) -> list[Bug]:
    """Return the bugs of a list."""
    rows = tomllib.loads(path.read_text("utf-8"))["bug"]
    return [Bug(**row | {"tests": tuple(row["tests"])}) for row in rows]
