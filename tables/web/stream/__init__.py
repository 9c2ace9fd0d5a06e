"""Changes as they happen, for pages and for other workers."""
