"""Alerts as rows in Postgres."""
