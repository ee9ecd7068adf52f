"""Worlds by other hands: synthetic platforms whose authors had not seen the detector."""
