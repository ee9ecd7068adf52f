"""Flags and help pages of `serve` follow from the declared options."""

from __future__ import annotations

import re
from typing import Any

import pytest
from typer.testing import CliRunner

from wavebreak.cli.app import app
from wavebreak_server.config import declared_options

FLAGS_OF_0_2 = [
    "--database",
    "--database-file",
    "--host",
    "--port",
    "--policy",
    "--enforce",
    "--shadow",
    "--shards",
    "--decoders",
    "--profile",
    "--key",
    "--ip-database",
    "--lateness",
    "--model",
    "--traces",
    "--private-webhooks",
    "--insecure-webhooks",
    "--webhook-key",
    "--no-keys",
    "--demo",
    "--ledger-key",
    "--snapshot-seconds",
    "--accept-loss",
    "--console",
    "--no-console",
    "--console-url",
    "--oidc",
    "--second-factor",
    "--no-second-factor",
    "--trusted-proxies",
    "--backfill",
    "--cases",
    "--header-timeout",
    "--body-timeout",
    "--connections",
    "--peer-connections",
    "--allow-identifiers",
    "--key-events",
    "--key-megabytes",
    "--max-memory",
    "--new-names-per-hour",
]
MOST_LINES = 41


def page(option: str) -> str:
    return CliRunner().invoke(app, ["serve", option], env={"COLUMNS": "80"}).stdout


def test_every_flag_of_before_is_declared() -> None:
    declared = {name for each in declared_options() for name in (*each.flags, each.about.off)}
    assert set(FLAGS_OF_0_2) <= declared


def test_short_help_fits_a_screen_and_names_every_flag_uncut() -> None:
    printed = page("--help")
    lines = printed.splitlines()
    assert len(lines) <= MOST_LINES
    assert max(map(len, lines)) <= 80
    assert set(FLAGS_OF_0_2) <= set(re.split(r"[\s,]+", printed))


def test_options_of_most_services_have_one_line_each() -> None:
    printed = page("--help")
    for each in declared_options():
        if each.about.common:
            first = each.about.help.partition(". ")[0].rstrip(".")
            assert re.search(rf"^  {each.flags[0]}.* {re.escape(first)}\.$", printed, re.M)


def test_long_help_explains_every_option() -> None:
    printed = " ".join(page("--help-all").split())
    for each in declared_options():
        assert f"{each.about.help} [default: {each.default_words}]" in printed


@pytest.mark.parametrize(
    "words", [["--port", "65536"], ["--shards", "0"], ["--lateness", "soon"], ["--connection", "1"]]
)
def test_flag_out_of_bounds_is_refused(words: list[str]) -> None:
    done: Any = CliRunner().invoke(app, ["serve", "var", *words])
    assert done.exit_code == 2
    assert words[0] in done.stderr
