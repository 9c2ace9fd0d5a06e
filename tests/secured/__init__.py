"""Servers with TLS and logins on loopback, their certificates made for the test."""
