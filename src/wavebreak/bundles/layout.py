"""Names of what lies in a bundle's `data/` folder, and its hashes."""

from __future__ import annotations

LEDGER, MADE, README, REPORT, CERTIFICATE, VERIFIER = (
    "ledger", "made.json", "README.txt", "report.pdf", "certificate.pdf", "verifier.py",
)  # fmt: skip
HASHES = ("sha256", "sha512")
"""Algorithms of the manifests."""
