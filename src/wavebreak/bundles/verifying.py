"""Is a bundle what it says? Every check in turn, what could not be checked, and why.

Nothing in a bundle is trusted: a key inside it shows only that it agrees with itself. Checks read
an unpacked copy alone; recomputation runs the engine as `wavebreak run` does.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from wavebreak.bundles import checking
from wavebreak.bundles.checking import Unchecked
from wavebreak.bundles.unpacking import Bounds, unpack
from wavebreak.errors import EvidenceError, WavebreakError
from wavebreak.evidence.verifier import Doubt, Key


class Finding(NamedTuple):
    """One check: what of, whether it holds (None: not checked), what was found, a doubt's name."""

    what: str
    holds: bool | None
    said: str
    name: str = ""


def exit_code(findings: Sequence[Finding]) -> int:
    """0 where all was checked and holds, 1 where something does not, 3 where not all could be.

    >>> exit_code([Finding("a", True, ""), Finding("b", None, "")])
    3
    """
    if any(finding.holds is False for finding in findings):
        return 1
    return 3 if any(finding.holds is None for finding in findings) else 0


def verify(source: Path, keys: Sequence[Key], bounds: Bounds | None = None) -> list[Finding]:
    """Check a bundle by the verifier keys of its maker and of witnesses; without, not whose it is.

    What does not hold is a finding, whatever a bundle may have in it.
    """
    with tempfile.TemporaryDirectory(prefix="wavebreak-verify-") as place:
        root: list[Path] = []

        def opened() -> str:
            root.append(unpack(source, Path(place), bounds))
            return f"{sum(p.is_file() for p in root[0].rglob('*')):,} files, unpacked with care"

        found = [_finding("zip file", opened)]
        return found + _of_folder(root[0], keys) if root else found


def _of_folder(root: Path, keys: Sequence[Key]) -> list[Finding]:
    data = root / "data"
    found = [_finding("bag", partial(checking.bag, root))]
    try:
        written, case = checking.case(data)
    except WavebreakError as error:
        return [*found, Finding("case", False, error.what, "case")]
    found.append(Finding("case", True, f"case {case.id}, {case.state}, {len(case.steps)} steps"))
    checks: dict[str, Callable[[], str]] = {
        "sealed entries": partial(checking.ledger, data, keys),
        "steps": partial(checking.steps, data, written),
        "exhibits": partial(checking.exhibits, data, case),
        "custody": partial(checking.custody, data, case),
        "WARC": partial(checking.warcs, data, case),
        "recomputation": partial(checking.reruns, data, case, keys),
        "determinations": partial(checking.determinations, data, written),
        "report": partial(checking.pages, data, case),
        "verifier": partial(checking.program, data),
    }
    return found + [_finding(what, check) for what, check in checks.items()]


def _finding(what: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, check())
    except Unchecked as reason:
        return Finding(what, None, str(reason), "unchecked")
    except Doubt as doubt:
        name, said = doubt.args
        return Finding(what, False, f"{name}: {said}", name)
    except WavebreakError as error:
        name = error.name if isinstance(error, EvidenceError) else ""
        return Finding(what, False, error.what, name or what.lower())
    except Exception as error:
        # Whoever made the bundle chooses what its parsers meet: whatever they raise is a doubt.
        said = f"it is not well formed ({type(error).__name__})"
        return Finding(what, False, said, "not_well_formed")
