"""The web process: the console for the office, and what the API for upstream apps shares with it."""
