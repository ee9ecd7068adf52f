"""Mutations of inputs that one seed draws: what fuzzing does, without its search."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

MOST_BYTES = 4096
INTERESTING = (
    b"\0",
    b"\xff",
    b"\xff\xff\xff\x7f",
    b"\0\0\0\x80",
    b"\xff" * 8,
    b"{}",
    b"[]",
    b'"',
    b"\\",
    b"\\ud800",
    b"\xc3\x28",
    b"null",
    b"-0",
    b"1e999",
    b"9" * 20,
    b"\r\n",
    b"../",
    b"\x1b[31m",
)
"""Bytes at which readers have failed before."""


def mutate(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Return an input with one to six changes; `others` are inputs to take parts from."""
    changed = bytearray(data)
    for _ in range(random.randint(1, 6)):
        at = random.randint(0, len(changed))
        size = random.choice((1, 1, 2, 4, 16, 200))
        kind = random.randrange(6)
        if kind == 0 and at < len(changed):
            changed[at] ^= 1 << random.randrange(8)
        elif kind == 1 and at < len(changed):
            changed[at] = random.randrange(256)
        elif kind == 2:
            del changed[at : at + size]
        elif kind == 3:
            changed[at:at] = changed[at : at + size]
        elif kind == 4:
            changed[at:at] = random.choice(INTERESTING)
        else:
            other = random.choice(others)
            begin = random.randint(0, len(other))
            changed[at:at] = other[begin : begin + size]
    return bytes(changed[:MOST_BYTES])


def mutations(seed: str, inputs: Sequence[bytes], count: int) -> Iterator[bytes]:
    """Yield so many mutations of inputs, and now and then of mutations; the seed draws them.

    >>> first, second = (list(mutations("a", [b"[1]"], 50)) for _ in range(2))
    >>> first == second, len(set(first)) > 30
    (True, True)
    """
    random, pool = Random(seed), list(inputs)
    for _ in range(count):
        made = mutate(random, random.choice(pool), inputs)
        if random.random() < 0.2:
            pool.append(made)
        yield made
