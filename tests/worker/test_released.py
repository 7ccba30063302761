"""A rolling deploy: workers of two releases read one broker, so each message of a release is understood by the next."""

from __future__ import annotations

import inspect

import pytest
import redis
from celery import Celery, current_app

import celeryconfig
import tasks
from tests import released
from tests.released import Message, Release
from tests.worker.test_worker import heard, running


@pytest.mark.parametrize("release", released.RELEASES, ids=lambda release: release.version)
def test_what_older_releases_send_is_understood(release: Release) -> None:
    """D4: the tasks, arguments and queues of every release that was out are known; new ones only join them."""
    assert release.messages
    assert [message for message in release.messages if not understood(message)] == []


@pytest.mark.parametrize(
    "message",
    [
        Message("defray.nobody", "bulk", {}),
        Message("defray.charge", "a queue that is gone", {}),
        Message("defray.charge", "bulk", {"an argument that is gone": 7}),
    ],
)
def test_what_is_not_understood_is_seen(message: Message) -> None:
    """The check can fail: by its task, its queue or its arguments."""
    assert not understood(message)


def test_this_release_sends_at_least_what_is_on_record() -> None:
    """The record is made of what is really sent."""
    assert Message("defray.sweep", "scheduled", {}) in released.messages()
    assert Message("defray.charge", "interactive", {"payment": 7}) in released.messages()


def understood(message: Message) -> bool:
    """Whether a worker of now takes it from its queue and can call its task."""
    assert tasks
    task = current_app.tasks.get(message.task)
    if task is None or message.queue not in celeryconfig.task_queues:
        return False
    try:
        inspect.signature(task.run).bind(**message.arguments)
    except TypeError:
        return False
    return True


def test_an_old_worker_goes_on_after_what_it_does_not_know(database_url: str, redis_url: str) -> None:
    """D1, D3: a task or an argument of the next release is a wake-up call that is lost; the row stays due."""
    environment = {"DEFRAY_DATABASE_URL": database_url, "DEFRAY_REDIS_URL": redis_url}
    app = Celery(broker=redis_url, set_as_current=False)

    def send() -> None:
        app.send_task("defray.of_the_next_release", queue="scheduled", kwargs={"payment": 7})
        app.send_task("defray.charge", queue="scheduled", kwargs={"an_argument_of_the_next_release": 7})
        app.send_task("defray.charge", queue="scheduled", kwargs={"batch": 7, "lane": "1 of 1"})

    with running(environment) as worker:
        state = heard(redis_url, "task-succeeded", send)
        worker.wait_for("defray.of_the_next_release")
    app.close()
    assert [task.result for task in state.tasks.values() if task.state == "SUCCESS"] == [
        "'batch 7, lane 1 of 1: charged 391, declined 9'"
    ]
    with redis.Redis.from_url(redis_url) as client:
        assert client.llen("scheduled") == 0
