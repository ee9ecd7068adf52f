"""Migrations of the service: forward only."""
