"""Pseudonyms in place of phone numbers, addresses and devices."""
