"""Pages of legal cases: a plug-in of the console, found by its entry point.

They show the workspaces of `bundles`, and seal what counsel does on them as the commands do.
"""

# Importing the service configures Django, without which no module of this package can be imported.
import wavebreak_server.storage  # noqa: F401
