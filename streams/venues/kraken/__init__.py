"""Kraken: two venues, their feeds, their messages and their products."""
