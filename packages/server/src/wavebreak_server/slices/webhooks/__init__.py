"""Webhooks: registration, delivery, dead letters."""
