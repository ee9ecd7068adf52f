"""Start of the console: the case and the people of a demonstration."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import support
from support.service_harness import migrated
from support.service_process import migrated_file
from wavebreak_server.console import server
from wavebreak_server.http.app_context import run_in_transaction
from wavebreak_server.slices.users.models import User
from wavebreak_server.slices.users.permissions import ROLES
from wavebreak_server.storage import database


def test_demonstration_shows_a_case_about_a_ban(tmp_path: Path) -> None:
    """In a process of its own, as `wavebreak demo` builds it."""
    shutil.copy(migrated_file(), tmp_path / database.FILE)
    command = [sys.executable, "-m", "support.demonstration", str(tmp_path)]
    tests = Path(support.__file__).parents[1]
    done = subprocess.run(
        command, cwd=tests, capture_output=True, text=True, timeout=400, check=False
    )
    assert done.stdout == "(1, True)\n", done.stderr


def test_people_of_a_demonstration_can_sign_in(tmp_path: Path) -> None:
    with migrated("sqlite", tmp_path):
        # Also within a transaction of the caller: what closes a connection there loses it all.
        names, password = run_in_transaction(server.create_demo_people)
        assert names == (*(role.replace("_", "-") for role in ROLES), "second-counsel")
        assert User.objects.get(username="second-counsel").role == "counsel"
        assert User.objects.get(username="lead").check_password(password)
        assert run_in_transaction(server.create_demo_people)[0] == ()
