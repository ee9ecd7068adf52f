"""Benches: how fast, how large, beside whom. Run with `python -m benchmarks`."""
