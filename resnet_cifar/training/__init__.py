"""One run carried out: checked, started, recorded, stopped, priced."""
