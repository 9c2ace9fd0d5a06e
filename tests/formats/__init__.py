"""What outlives a release, as each release wrote it.

``samples/<version>.json`` holds what the release of that format version wrote of :mod:`tests.formats.content`, as
base64 by name. ``1.json`` was made at commit 1a202df. It also has messages, and the state that the release made of
them. A file is never changed. Who adds a format adds a file:
``python -m tests.formats.content > tests/formats/samples/<version>.json``.

``added.json`` holds what later releases add within version 1. It gets new names only:
``python -m tests.formats.content added`` writes all of it.
"""
