"""Migrations of the plug-in's tables."""
