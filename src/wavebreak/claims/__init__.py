"""Public claims as evidence: captured, kept with custody, read, and judged by a person."""
