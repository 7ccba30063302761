"""Mail to the outside world: one message, and what the mail server said of it."""
