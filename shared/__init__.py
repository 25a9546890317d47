"""What every worker speaks: events, topics, codec, errors, clock, logs, metrics, stream runtime, store.

Nothing here imports a worker.
"""
