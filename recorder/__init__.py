"""The recorder: topics to SQL and Parquet, and recordings back into the topic.

`sink.py` is the worker's core, `parquet.py` and `journal.py` make recordings of what it saw, `replay.py`
publishes a recording as if it happened now, `export.py` writes what the store holds as a recording.
`audit.py` proves from the topic that the tape is whole (`audit_topics.py` reads, `audit_view.py` prints);
`dead_letters.py` finds what was set aside and publishes it again.
"""
