"""The arena: senders who see our answers and adapt, among people who must not be hurt."""
