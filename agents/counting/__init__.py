"""From a message to counted trades and raised alerts."""
