"""Errors of the verifier as errors of this package, with a fix."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from wavebreak.errors import EvidenceError
from wavebreak.ledger.verifier import VerifierError

FIX = "keep what is there as it is, and compare it with a copy, or a checkpoint, held elsewhere"


def ledger_error(name: str, problem: str, fix: str = FIX) -> EvidenceError:
    """Return an EvidenceError with this name."""
    return EvidenceError(f"{name}: {problem}", name=name, fix=fix)


@contextmanager
def convert_verifier_errors(fix: str = FIX) -> Iterator[None]:
    """Convert errors of the verifier in this context to EvidenceError with the same `name`.

    >>> with convert_verifier_errors():
    ...     raise VerifierError("root_wrong", "it is another")
    Traceback (most recent call last):
    wavebreak.errors.EvidenceError: root_wrong: it is another — fix: keep what is there as it is, \
and compare it with a copy, or a checkpoint, held elsewhere
    """
    try:
        yield
    except VerifierError as doubt:
        name, problem = doubt.args
        raise ledger_error(name, problem, fix) from None
    except (ValueError, TypeError, RecursionError):
        raise ledger_error("not_well_formed", "the content is malformed", fix) from None
