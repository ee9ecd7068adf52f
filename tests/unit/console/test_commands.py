"""Tests of the console's runner of commands."""

from __future__ import annotations

from wavebreak.console.commands import Ended, RunningCommand, run_command


def test_command_returns_its_output_and_code() -> None:
    ended = run_command(["--version"])
    assert ended.code == 0
    assert ended.output.startswith("wavebreak ")


def test_command_that_fails_says_its_last_lines() -> None:
    ended = run_command(["transparency", "report", "nowhere"])
    assert ended.code == 2
    assert "--from" in ended.problem


def test_command_is_stopped_at_its_limit() -> None:
    ended = run_command(["--version"], limit_s=0.0)
    assert ended == Ended(-9, "", "it took over 0 minutes")


def test_running_command_says_how_it_ended() -> None:
    said: list[Ended] = []
    command = RunningCommand(["--version"], said.append, {"WAVEBREAK_DATABASE": ""})
    assert command.wait(60)
    assert not command.running
    assert [one.code for one in said] == [0]
