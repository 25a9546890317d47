"""`python -m benchmarks NAME`: figures for the documentation; a table, then one line of JSON."""
