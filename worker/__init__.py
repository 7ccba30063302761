"""What a Celery process is: its app, what it is built of, its logs, and the only sender of messages."""
