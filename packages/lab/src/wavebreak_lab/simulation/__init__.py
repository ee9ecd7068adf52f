"""Simulated messaging platforms: people, campaigns and benign personas as a stream of events."""

from __future__ import annotations

from wavebreak_lab.simulation.attackers import APP_CAMPAIGNS, CAMPAIGNS, EVERY_CAMPAIGN
from wavebreak_lab.simulation.personas import APP_FIRMS, EVERY_PERSONA, PERSONAS
from wavebreak_lab.simulation.public_rooms import ROOM_CAMPAIGNS, ROOM_PERSONAS
from wavebreak_lab.simulation.world import START_MS, World, simulate, write

__all__ = [
    "APP_CAMPAIGNS",
    "APP_FIRMS",
    "CAMPAIGNS",
    "EVERY_CAMPAIGN",
    "EVERY_PERSONA",
    "PERSONAS",
    "ROOM_CAMPAIGNS",
    "ROOM_PERSONAS",
    "START_MS",
    "World",
    "simulate",
    "write",
]
