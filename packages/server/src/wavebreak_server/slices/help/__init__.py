"""Help: what readers of the public help pages answered."""
