"""The review queue: its cases, its indexer, and warnings to contacts."""
