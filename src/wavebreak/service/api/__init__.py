"""The control-plane API: routes, schemas and views."""
