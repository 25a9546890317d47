"""The recorder: topics to SQL and Parquet, and recordings back into the topic.

`sink.py` is the worker's core, `parquet.py` and `journal.py` make recordings of what it saw, `replay.py`
publishes a recording as if it happened now, `export.py` writes what the store holds as a recording.
"""
