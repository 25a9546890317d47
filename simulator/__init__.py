"""A market that speaks Binance Spot's WebSocket and REST protocols on loopback, for demos and for tests.

- `source.py`: what a source of trades is; `market.py` (a generated, labelled market, made of `profiles.py`,
  `arrivals.py` and `scenarios.py`) and `recordings.py` are the two there are.
- `playback.py`: when each trade of a source happens, at any speed.
- `streams.py`: the WebSocket protocol, bytes in, bytes out; `rest.py` with `tape.py` and `weights.py`: REST.
- `faults.py`: how the server misbehaves on command.
- `engine.py`: source, playback, faults and subscribers in one place, without sockets; `server.py` has the
  WebSocket, `web.py` the HTTP, `run.py` starts both.
"""
