"""Tests of the sources; the folders mirror the packages."""
