"""Cases: parties, evidence, dates, determinations, notices. Values and pure functions, no I/O."""
