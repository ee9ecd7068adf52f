"""Where an installation from before `cli.ledger` looks for it; goes with the next `make`."""

from __future__ import annotations

from importlib import import_module

ServiceLedger = import_module("wavebreak_server.cli.ledger").ServiceLedger
