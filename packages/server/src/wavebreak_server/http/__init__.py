"""HTTP: the front that reads requests, limits, authentication, and the API's document."""

# Importing storage configures Django, without which no module here can be imported.
import wavebreak_server.storage  # noqa: F401
