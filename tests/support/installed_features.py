"""The files of the how-to on features of one's own, installed as its distribution."""

from __future__ import annotations

import importlib
import re
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from wavebreak.rules import Policy, load_policy, own_features

RULE = "many_strangers_few_contacts"
"""The rule of the how-to, which limits at twenty unanswered strangers."""
GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "add-a-feature.md"
FILE = re.compile(r"<!-- file: (\S+) -->\n *```\w+\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


@contextmanager
def installed_guide(home: Path) -> Iterator[Path]:
    """Install the module of the how-to, and yield its policy, with its rule enforced."""
    for name, body in FILE.findall(GUIDE.read_text("utf-8")):
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(body).replace('mode = "shadow"', 'mode = "enforce"'))
    project = tomllib.loads((home / "pyproject.toml").read_text("utf-8"))["project"]
    points = project["entry-points"][own_features.GROUP]
    info = home / "our_features-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.4\nName: our-features\nVersion: 1\n")
    lines = [f"{name} = {module}" for name, module in points.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{own_features.GROUP}]", *lines]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_features, "_declared", {})
        patch.syspath_prepend(home)
        importlib.invalidate_caches()
        yield home / "my-policy"
    for module in points.values():
        sys.modules.pop(module, None)


def guide_policy(home: Path) -> Policy:
    """Load the policy of an installed how-to."""
    return load_policy(home / "my-policy")
