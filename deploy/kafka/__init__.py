"""Kafka without ceremony: one interface (`broker.py`) over three ways to have a broker."""
