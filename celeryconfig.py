"""Celery's own settings. Addresses and everything else that differs from place to place: settings.py.

A message is a wake-up call and the database says what is to be done (D1), so nothing here guards a message.
"""

# Somebody is waiting, batches, what the clock starts, and what waits for servers of others (apps, mail): a worker each,
# so that neither a batch nor an app that answers slowly makes a person or a refund wait.
task_queues: dict[str, dict[str, str]] = {"interactive": {}, "bulk": {}, "scheduled": {}, "outbound": {}}
task_default_queue = "scheduled"
task_create_missing_queues = False
task_routes = {"defray.post": {"queue": "bulk"}, "defray.charge": {"queue": "bulk"}}

# Acknowledged before it runs: a killed worker loses a wake-up call, and the sweeper comes within seconds. Acknowledged
# after, its message would come again when the visibility timeout ends, an hour later, for nothing. So nothing is kept
# of messages that were taken (`ack_emulation` below).
task_acks_late = False
worker_prefetch_multiplier = 1
worker_disable_prefetch = True  # what waits, waits in the queue, where any free process can take it
worker_cancel_long_running_tasks_on_connection_loss = False

# Ids and words only (C3): nothing is unpickled.
task_serializer = result_serializer = event_serializer = "json"
accept_content = ["json"]

# What a task returns is a sentence for people; it reaches Flower with the event, and nobody keeps it (D4).
task_ignore_result = True
task_send_sent_event = True
worker_send_task_events = True

# A broker that is away is waited for, for as long as it takes, and a connection that died silently is found out.
broker_connection_retry_on_startup = True
broker_connection_max_retries = None
broker_channel_error_retry = True  # so is one whose memory is full
broker_transport_options = {
    # Its lock cannot be taken while Redis is full, each attempt leaves connections open for good, and giving back what
    # was taken over a connection that is lost ends the worker.
    "ack_emulation": False,
    "socket_connect_timeout": 5,
    "socket_timeout": 30,
    "socket_keepalive": True,
    "health_check_interval": 10,
}

# One clock (D2): beat only says when to look; a look that nobody took in time is dropped, so none pile up.
enable_utc = True
beat_schedule = {
    "wake what is overdue": {
        "task": "defray.sweep",
        "schedule": 5,
        "options": {"expires": 10, "argsrepr": "Sweep overdue work: wake what is overdue"},  # as worker.words has it
    },
    "forget cards that were never used": {
        "task": "defray.forget",
        "schedule": 3600,
        "options": {"expires": 600, "argsrepr": "Forget unused cards: entered, and never saved"},
    },
    "tell of cards that expire soon": {
        "task": "defray.expiry",
        "schedule": 3600,
        "options": {"expires": 600, "argsrepr": "Expiry notices: kept cards whose last month comes"},
    },
    "try declined cards again": {
        "task": "defray.retry",
        "schedule": 60,
        "options": {"expires": 60, "argsrepr": "Retry declined cards: whose day has come"},
    },
}

worker_hijack_root_logger = False
worker_redirect_stdouts = False
