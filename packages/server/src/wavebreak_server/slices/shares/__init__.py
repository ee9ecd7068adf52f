"""Links by which somebody without an account reads one case, until they end."""
