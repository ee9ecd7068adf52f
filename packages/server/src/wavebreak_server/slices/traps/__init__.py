"""Traps: declare them, see by the log whether they are hit, and retire them."""
