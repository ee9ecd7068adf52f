"""Users: the people who sign in, their roles, and the person who acts."""
