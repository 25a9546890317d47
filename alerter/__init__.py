"""Anomalies to people: which ones are told, in what words, through which channels, each once.

`lifecycle.py` decides (pure), `outbox.py` keeps every decision in the store before Kafka may forget the
anomaly, `sender.py` empties the outbox through the `channels/`, `render.py` finds the words (pure), and
`app.py` joins them to the topics.
"""
