"""What the tests of the XMPP integrations share: servers, a stub of Wavebreak, and clients."""
