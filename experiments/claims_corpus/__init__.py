"""Labelled claim pages: evaluate the reader on them, and learn its weights from them."""
