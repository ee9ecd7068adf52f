"""Calibration on a schedule."""
