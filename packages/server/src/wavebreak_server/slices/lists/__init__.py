"""Outside lists: what they are worth here, and what this service publishes for them."""
