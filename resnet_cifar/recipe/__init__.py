"""Recipes: descriptions of a run; standard library only."""
