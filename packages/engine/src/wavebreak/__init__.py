"""Wavebreak: detect, enforce against and escalate bulk, automated and non-personal messaging.

Metadata only, never content. Start with `wavebreak --help`, or read README.md.
"""

__version__ = "0.3.0.dev0"
