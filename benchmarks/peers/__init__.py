"""One job on other stream processors: a rolling z-score of returns per market, Kafka to Kafka.

Each script is a process of its own and imports nothing of this project, so that it can run in an environment
that this project's requirements would not fit into. It prints one line of JSON: CPU and wall-clock seconds.
"""
