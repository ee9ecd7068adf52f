"""Decisions: pages of them, and their proofs."""
