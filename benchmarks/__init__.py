"""What the numbers in the READMEs come from."""
