"""Devices, memory, processes and files; knows neither networks nor runs."""
