"""wavebreak_lab."""
