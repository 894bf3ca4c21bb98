"""Curves, tables and texts about runs; does not import torch."""
