"""The web servers of workers and producers: what both do about connections, whatever they answer."""
