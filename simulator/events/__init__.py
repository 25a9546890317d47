"""The events that are put into a generated market: one file per family, `catalogue.py` names them all.

A scenario is a function from a strength, a time and what is usual on the market to an `Effect`. Its strength
is one number with a natural unit, so that recall can be drawn against it; everything else is drawn.
"""
