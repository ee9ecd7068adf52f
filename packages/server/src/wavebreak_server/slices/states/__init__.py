"""States of accounts over the API."""
