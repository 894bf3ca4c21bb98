"""What the machine gives: devices, memory, processes, files; knows neither networks nor runs."""
