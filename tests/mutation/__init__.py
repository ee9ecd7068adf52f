"""Mutation figure: realistic bugs, planted one at a time, and whether the tests catch them."""
