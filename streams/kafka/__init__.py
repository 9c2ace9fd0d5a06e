"""Kafka without Faust: administration, clients, reading, outbound records."""
