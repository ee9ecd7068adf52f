"""Tables, charts and pages that commands print or write."""
