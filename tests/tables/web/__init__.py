"""The web view, from its arithmetic to answers of running workers."""
