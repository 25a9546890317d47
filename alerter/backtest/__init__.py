"""Would it have fired? Recorded anomalies through the life cycle, in simulated time."""
