"""The training loop, a generator of events; touches no file, no clock and no screen."""
