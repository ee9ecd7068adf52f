"""Linking: accounts that seem to be of one operator, with the evidence on each edge.

An operator is a hypothesis. It may slow all its accounts, and silences one only beside evidence of
that account's own. Edges come from networks that hardly anybody but senders uses and rings of
senders who chat with each other (read anew each hour), synchronised registrations in small blocks
(Ianus, CCS 2019), shared first-contact targets (SynchroTrap, CCS 2014), successors that reach an
abusive account's targets, and shared devices; a chain of hijacked accounts is linked and never
slowed, for its accounts are victims.
"""

from __future__ import annotations

from wavebreak.linking.edges import Kind
from wavebreak.linking.linker import Linker
from wavebreak.linking.operators import Edge, Operator

__all__ = ["Edge", "Kind", "Linker", "Operator"]
