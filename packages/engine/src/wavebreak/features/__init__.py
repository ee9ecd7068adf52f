"""Facts, features and epochs: what an account has done, read at any moment from its own row."""
