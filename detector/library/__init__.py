"""The detectors as a library: `fit`, `score`, `detect` and `explain` on tables, one interface for all.

`detector/catalogue.py` names them all, `docs/library.md` says how they are used.
"""
