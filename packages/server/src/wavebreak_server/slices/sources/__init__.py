"""Event sources: what they declare, and what the log covers."""
