"""The sanctioned platform for businesses: portfolios, consent, limits, quality, standing."""
