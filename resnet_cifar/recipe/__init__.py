"""What a run is asked to do; standard library only."""
