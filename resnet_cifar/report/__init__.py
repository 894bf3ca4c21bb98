"""What people are shown of runs; no torch."""
