"""The version of all distributions."""

__version__ = "0.3.0.dev0"
