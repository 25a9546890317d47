"""A market that speaks the exchanges' own WebSocket and REST protocols on loopback, for demos and tests.

- `source.py`: what a source of trades is. There are two: `market.py` (generated and labelled) and
  `recordings.py`.
- `crowd.py`: the generated markets, made of `profiles.py`, `arrivals.py`, `order_flow.py` and
  `executions.py`; `following.py` is their price on a further venue. What happens to them: `scenarios.py` says
  when, `events/` what, `effects.py` in which form. `tapes.py` draws them without a server, weeks at once.
- `playback.py`: when each trade of a source happens, at any speed.
- `venue.py`: what a venue is to the engine; bytes in, bytes out. `binance.py` (made of `streams.py` for the
  WebSocket, and `rest.py`), `coinbase.py`, `kraken.py`; `tape.py` and `weights.py` are what REST rests on.
- `faults.py`: how the server misbehaves on command.
- `engine.py`: source, playback, faults and subscribers (`subscribers.py`) in one place, without sockets;
  `server.py` has the WebSocket, `web.py` the HTTP, `run.py` starts both.
"""
