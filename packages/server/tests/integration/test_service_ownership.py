"""Two servers started on one directory or database: the second ends, the first goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import crash_test, service_harness
from support.service_process import Server


@pytest.mark.parametrize("kind", service_harness.DATABASES)
def test_second_server_ends_and_the_first_goes_on(tmp_path: Path, kind: str) -> None:
    with service_harness.fresh(kind) as url:
        home = tmp_path / "home"
        home.mkdir()
        with Server(home, database=url).started() as first:
            other = tmp_path / "other" if url else home
            (tmp_path / "other").mkdir()
            second = Server(other, database=url).start(wait=False)
            assert second.ended(300) == 2
            assert "is in use by another" in second.said()
            assert "fix: stop that" in second.said()
            assert first.post(b"[%b]" % crash_test.world(10)[0]).status == 202
