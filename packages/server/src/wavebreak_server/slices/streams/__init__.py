"""Decisions and states as server-sent events."""
