"""What flows: the Faust app, settings, records, topics, codecs, feeds, the producer and the command line."""
