"""A market that speaks Binance Spot's WebSocket and REST protocols on loopback, for demos and for tests.

- `source.py`: what a source of trades is. There are two: `market.py` (generated and labelled; made of
  `profiles.py`, `arrivals.py`, `order_flow.py`, `executions.py` and `scenarios.py`) and `recordings.py`.
- `playback.py`: when each trade of a source happens, at any speed.
- `streams.py`: the WebSocket protocol, bytes in, bytes out; `rest.py` with `tape.py` and `weights.py`: REST.
- `faults.py`: how the server misbehaves on command.
- `engine.py`: source, playback, faults and subscribers (`subscribers.py`) in one place, without sockets;
  `server.py` has the WebSocket, `web.py` the HTTP, `run.py` starts both.
"""
