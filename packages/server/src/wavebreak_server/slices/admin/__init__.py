"""Administration over the API."""
