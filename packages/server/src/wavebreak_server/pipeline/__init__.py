"""The pipeline: from a request to a durable event, a decision and its delivery."""

# Importing storage configures Django, without which no module here can be imported.
import wavebreak_server.storage  # noqa: F401
