"""Exceptions that are reported in one sentence: what was wrong, with the value, and what to do."""


class UserError(Exception):
    """An error that the user can fix: a value, a file, a device, a full disk."""


class Diverged(Exception):
    """Training diverged: a loss or a weight is no longer a finite number."""


class Busy(UserError):
    """Raised if a device or a run is in use by another process; it may be free later."""
