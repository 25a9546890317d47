"""The stream runtime: the broker behind an interface, the pure `Step`, the impure `Runner`, snapshots, sinks.

`broker.py` is the interface, `kafka.py` the one file that imports confluent_kafka, `memory.py` a broker in
this process for tests. `runner.py` runs a `Step` from trades to events, exactly once; `sink.py` runs what
ends outside Kafka (alerter, recorder); `tail.py` reads topics without a group (dashboard, demo).
"""
