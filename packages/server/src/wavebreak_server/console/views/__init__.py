"""Views of the console, a module for each page of the navigation."""
