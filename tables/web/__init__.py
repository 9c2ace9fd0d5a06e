"""The web view: pages, JSON, a stream of changes, metrics and health; its worker is behind one Protocol."""
