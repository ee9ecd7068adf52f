"""Console: the back office of analysts, policy owners, counsel and administrators.

It runs in the service's process. Its pages show what the service decides, seals and determines;
what a person does on them calls the functions that the API calls, so that every act is a label in
the log, an audit entry and a ledger entry, and can be undone.
"""

# Importing the service configures Django, without which no module of this package can be imported.
import wavebreak_server.storage  # noqa: F401
