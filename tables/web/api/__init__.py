"""The JSON under ``/api/``."""
