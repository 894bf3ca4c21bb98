"""What can be typed, and what a terminal shows."""
