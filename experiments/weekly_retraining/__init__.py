"""Simulate weeks of new campaigns with training after each."""
