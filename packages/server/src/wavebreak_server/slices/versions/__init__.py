"""Versions of policies and models: from a draft to what decides, and back."""
