"""Accounts: what is known of one, its timeline, and its neighbours."""
