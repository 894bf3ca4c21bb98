"""Runs on disk: folder, lock, events and status; imports only the standard library."""
