"""Venues of nobody: each is one directory, and the program has no other line of it."""
