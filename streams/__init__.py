"""What flows: the Faust app, settings, records, topics, codecs, sources, the producer and the command line."""
