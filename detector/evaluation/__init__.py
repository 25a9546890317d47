"""How good detectors are on recordings with labels: `python -m detector evaluate`.

- `command.py`: what the command does, step by step;
- `events.py`, `rules.py`: what is matched, and when an alarm is right;
- `truth.py`, `truth_forms.py`: labelled events, from our own table or the forms of known data sets;
- `tapes.py`, `judging.py`: recordings through the engine and the baselines, in one reading;
- `contestants.py`, `baselines.py`, `la_morgia.py`: who is compared;
- `matching.py`, `intervals.py`, `scores.py`: which alarms were right, and how sure that is;
- `report.py`, `page.py`, `drawing.py`: tables, JSON, and a page with pictures of what was found or not;
- `nab.py`: the score of the Numenta Anomaly Benchmark.
"""
