"""Pages of the console for the platform for businesses: a Django app that the console finds."""

# Importing the service configures Django, without which no module of this package can be imported.
import wavebreak_server.storage  # noqa: F401
