"""What each venue says and wants to hear: bytes in, events and bytes out; no socket, clock or task.

`protocol.py` is the interface, `markets.py` the symbol map, and there is one file per venue.
"""
