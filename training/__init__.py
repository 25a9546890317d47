"""Models that users train on their own labels; the detector is the library that runs them.

- `pumps.py`: a second opinion for `pump_dump`: recordings and labels into examples, examples into a forest.
- `validation.py`: what it adds, on markets that it has not learned from.
"""
