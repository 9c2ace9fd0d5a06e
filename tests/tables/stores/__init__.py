"""Tests of the table stores."""
