"""The SQL store: SQLite on one machine, PostgreSQL in a deployment, one code for both.

`tables.py` says what is kept, `migrations/` how a database gets there, `database.py` opens it and turns the
driver's errors into ours, `writes.py` stores events idempotently, `queries.py` reads them back.
"""
