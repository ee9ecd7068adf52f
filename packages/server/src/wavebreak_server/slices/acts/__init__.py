"""Acts: what people do to accounts, one at a time or many together, and how it is undone."""
