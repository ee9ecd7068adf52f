"""The review queue: its cases, golden cases, its indexer, and warnings to contacts."""
