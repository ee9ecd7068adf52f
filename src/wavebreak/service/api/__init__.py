"""The control-plane API."""
