"""From the exchanges to topic `trades`: every trade once, in order of id, or a gap event that says why not.

`exchanges/` speaks a venue's protocol without any I/O; `connection.py` holds one WebSocket, `feed.py` keeps
the connections alive; `tape.py` judges the continuity of ids, `backfill.py` fills holes through REST
(`rest.py`, `weights.py`), `staleness.py` watches each market; `publisher.py` writes to Kafka; `resume.py`
finds where the topic ends; `app.py` joins them.
"""
