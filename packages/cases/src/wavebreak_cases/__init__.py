"""wavebreak_cases."""
