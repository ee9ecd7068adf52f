"""A long run of a real server under load and faults: `python -m soak --minutes 60`."""
