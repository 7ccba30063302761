"""One thin file a task: load, decide, act, record. A message only says "look now"; the database says at what (D1).

Every task can be repeated, reordered or lost: it claims what is due, and finding nothing is a normal outcome (D2, D4).
What a task returns is a sentence for Flower.
"""

from tasks import (
    apps,
    charge,
    confirm,
    expiry,
    forget,
    inquire,
    mail,
    notice,
    post,
    refund,
    retry,
    schedule,
    sweep,
    void,
    watch,
    webhook,
)

__all__ = [
    "apps",
    "charge",
    "confirm",
    "expiry",
    "forget",
    "inquire",
    "mail",
    "notice",
    "post",
    "refund",
    "retry",
    "schedule",
    "sweep",
    "void",
    "watch",
    "webhook",
]
