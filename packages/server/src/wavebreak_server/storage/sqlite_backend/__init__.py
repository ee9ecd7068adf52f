"""Django's SQLite backend, which trusts the write-ahead log again only once it is on disk."""
