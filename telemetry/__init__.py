"""What a process tells of its work while it does it: log lines and traces, without secrets (C3)."""
