"""Outside lists: their modes and entries here, and the convictions that a service publishes."""
