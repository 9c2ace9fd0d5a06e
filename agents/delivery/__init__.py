"""Alerts as messages."""
