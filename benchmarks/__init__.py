"""Speed and memory benchmarks. Run with `python -m benchmarks`."""
