"""Queries over accounts that a person puts together, and views of them that are saved."""
