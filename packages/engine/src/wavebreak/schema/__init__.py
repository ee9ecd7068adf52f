"""The event schema, and the profile of which fields a stream carries."""
