"""A run on disk, and what can be read off it; standard library only."""
