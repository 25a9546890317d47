"""What order books show: spoofing and layering, found by a worker that reads `quotes` (ADR 0012)."""
