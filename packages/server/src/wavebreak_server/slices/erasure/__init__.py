"""Erasure of what is known of a person, and the list by which it is applied again."""
