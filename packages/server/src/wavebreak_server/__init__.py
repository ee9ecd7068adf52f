"""wavebreak_server."""
