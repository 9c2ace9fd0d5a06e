"""When to alert."""
