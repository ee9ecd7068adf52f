"""Tags of the pages of businesses."""
