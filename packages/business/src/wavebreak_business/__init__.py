"""What businesses learn from their own logs of the sanctioned ways to write to customers."""
