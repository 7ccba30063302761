"""One sandbox process for all of these tests; each begins with empty books."""

from collections.abc import Iterator

import pytest

from sandbox.client import SandboxClient, SandboxProcess, start


@pytest.fixture(scope="session")
def running_sandbox() -> Iterator[SandboxProcess]:
    """A sandbox in a process of its own, in memory."""
    with start() as process:
        yield process


@pytest.fixture
def control(running_sandbox: SandboxProcess) -> SandboxClient:
    """The control client; books, scenarios, barriers and settings are as at the start."""
    running_sandbox.client.forget()
    running_sandbox.client.change(latency_ms=0, tail_ms=0, tail_percent=0, any_amount=False)
    return running_sandbox.client


@pytest.fixture
def url(running_sandbox: SandboxProcess, control: SandboxClient) -> str:
    """The sandbox's address, with empty books behind it."""
    del control
    return running_sandbox.base_url
