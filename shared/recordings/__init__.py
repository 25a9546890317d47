"""Recordings of trades, read the same way whatever form they have.

`reader.read` takes files and folders, recognises each one's form by its content and yields batches of trades
in time order:

- `frames.py`: raw WebSocket frames of Binance, one a line, with or without the time they were received;
- `archive.py`: files of Binance's public archive, `trades` and `aggTrades`, zipped or not;
- `tables.py`: CSV tables with a header, as Tardis.dev has them;
- `parquet.py`: this project's own Parquet recordings, written by the recorder (`anomalies.py`,
  `quotes.py`: the same of anomalies and quotes).

`markets.py` turns a venue's name of a market into ours without asking the venue.
"""

from shared.recordings.reader import read

__all__ = ["read"]
