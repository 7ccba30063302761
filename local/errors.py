"""What the parts of one machine raise."""


class LocalError(RuntimeError):
    """Something on this machine doesn't start, or is in use; the text says what, why, and what to do."""
