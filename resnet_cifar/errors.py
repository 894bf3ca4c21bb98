"""What can go wrong in words: every message says what was wrong, with the value, and what to do."""


class UserError(Exception):
    """Something the person who asked can mend: a value, a file, a device, a full disk."""


class Diverged(Exception):
    """The loss stopped being a finite number."""
