"""The platform for businesses as a part of a service: a plug-in with API, tables and webhooks."""
