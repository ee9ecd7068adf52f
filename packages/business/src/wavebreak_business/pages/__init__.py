"""Pages of the console for the platform for businesses: a Django app that the console finds."""
