"""The whole pipeline on this machine without Docker: `python -m deploy.local demo` and `live`."""
