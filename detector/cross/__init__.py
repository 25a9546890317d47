"""What concerns several markets at once: arbitrage, moves of the whole market, bursts in layers, context.

Ticks of all markets in (`detector/ticks.py`), anomalies out, second by second of event time.
"""
