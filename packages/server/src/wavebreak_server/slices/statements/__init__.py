"""Statements of reasons, as account holders are shown them."""
