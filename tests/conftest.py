"""Makes `tests/` importable, so that every test can `import factories`."""
