"""Learning at home: scores of the own log, their states, and what they taught."""
