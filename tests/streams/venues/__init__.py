"""Tests of the feeds; the folders mirror the packages."""
