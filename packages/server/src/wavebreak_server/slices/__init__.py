"""Slices: the domain of due process, one package for each noun, which API and pages both call.

A slice has its tables in `models`, what may be done in `service`, and its operations in `api`; a
module with another name is named after what it holds. The tables keep the app label `console`, so
that migrations and content types do not change.
"""

# Importing the service configures Django, without which no module of this package can be imported.
import wavebreak_server.storage  # noqa: F401
