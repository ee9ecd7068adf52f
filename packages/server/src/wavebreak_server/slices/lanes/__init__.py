"""Declared lanes: which accounts hold one, since when and by whom, and how they are given."""
