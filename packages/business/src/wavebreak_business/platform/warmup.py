"""Compilation ahead of time: a few events through every path of the platform's rules."""

from __future__ import annotations

from typing import Any

from wavebreak_business.platform import kernel
from wavebreak_business.platform.events import read_events
from wavebreak_business.platform.platform import Platform
from wavebreak_business.settings import load_settings

_DAY_MS, _SHOP = 86_400_000, '"business":"shop"'
_EVENTS = f"""
{{"type":"portfolio.updated","ts":1,{_SHOP},"legal_name":"Shop","verified":true,"paced":false,
  "numbers":[{{"number":"n1","display_name":"Shop"}}]}}
{{"type":"template.updated","ts":2,{_SHOP},"template":"t","category":"utility","language":"en",
  "status":"approved"}}
{{"type":"consent.granted","ts":3,"account":"a",{_SHOP},"number":"n1"}}
{{"type":"consent.revoked","ts":4,"account":"b",{_SHOP},"number":"n1"}}
{{"type":"entry.opened","ts":5,"account":"a","peer":"n1"}}
{{"type":"message.read","ts":6,"account":"a","peer":"n1"}}
{{"type":"message.undeliverable","ts":7,"account":"n1","peer":"a"}}
{{"type":"person.weighed","ts":8,"account":"a","weight":50}}
{{"type":"account.id_changed","ts":9,"account":"c","previous":"b"}}
{{"type":"account.id_changed","ts":10,"account":"b","previous":"a"}}
{{"type":"standing.set","ts":11,{_SHOP},"step":"warning","ground":"quality"}}
{{"type":"account.deleted","ts":12,"account":"c"}}
"""
_SENDS = 64
"""Sends to so many people: the tables of people grow, which is compiled as well."""


def warm() -> None:
    """Take a few events of every kind, so that all compiled code of the rules is there."""
    settings = load_settings()
    platform = Platform(settings, forget_from=1)
    platform.apply(_events())
    state = platform.state
    state.node_of(0, 0), state.used_of(0), state.bars_of(0, 0)
    state.rating_of(0), state.rating_of_template(0)
    for records in (state.ports.records, state.templates.records):
        kernel.is_bad(records[0], state.laws)
    Platform(settings).load(platform.dump())


def _events() -> list[Any]:
    lines = [line.encode() for line in _EVENTS.replace("\n  ", " ").splitlines()]
    lines += [
        b'{"type":"message.sent","ts":%d,"account":"n1","peer":"p%d","template":"t"}' % (n, n)
        for n in range(20, 20 + _SENDS)
    ]
    # The next epoch closes the one before.
    lines.append(b'{"type":"message.sent","ts":%d,"account":"a","peer":"n1"}' % (2 * _DAY_MS))
    return read_events(lines).events
