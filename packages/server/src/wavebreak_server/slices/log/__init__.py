"""The event log: trimming it."""
