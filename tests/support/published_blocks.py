"""Parts of blocks as a job on Flink publishes them, without a job."""

from __future__ import annotations

import msgspec
from django.db import connection

from support.factories import decision
from support.service_harness import SECRET
from wavebreak.engine.decision_record import Decision
from wavebreak.engine.published import (
    TABLE,
    Block,
    BlockName,
    FirstNamed,
    LogTime,
    encode_block,
    encode_row,
    publishing_key,
)

NOW = 1_767_222_000_000
VERSIONS = "policy model features stream"
KEY = publishing_key(SECRET)


def made(account: str, outcome: str = "restrict", **fields: object) -> Decision:
    """A decision on an account."""
    return msgspec.convert(decision(account, NOW, outcome, **fields), Decision)


def publish(
    first: int,
    reached: int,
    *decisions: Decision,
    part: int = 0,
    groups: int = 1,
    job: str = "job",
    versions: str = VERSIONS,
    key: bytes = KEY,
    named: tuple[FirstNamed, ...] = (),
) -> None:
    """Write a part of a block, as a group of a job does; the first decision is the newest."""
    rows = [
        encode_row("decision", (0, 0, reached - n, 0, 0, 0), one)
        for n, one in enumerate(decisions, 1)
    ]
    name = BlockName(job, first, groups, part, reached)
    row = encode_block(key, name, Block(versions, LogTime(NOW + reached), rows, [*named]))
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {TABLE} VALUES (%s, %s, %s, %s, %s, %s, %s)", row)
