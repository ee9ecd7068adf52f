"""Operators over the API."""
