"""Deterministic simulation of the service: one seed draws the load, its faults and its crashes.

`disk` is a disk under SQLite whose writes tear and whose syncs fail; `machine` runs the service's
own stages on it, one step at a time; `run` draws the steps and checks the invariants. The manner is
that of FoundationDB and TigerBeetle. `python -m support.fault_simulation --seeds 1000` runs it.
"""
