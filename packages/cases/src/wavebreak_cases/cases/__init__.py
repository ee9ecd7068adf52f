"""Legal cases: parties, evidence, dates, determinations, notices. Values and pure functions."""
