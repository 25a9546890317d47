"""How far a value is from its sample, column by column: moments, quartiles, and tests for one outlier."""
