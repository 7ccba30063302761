"""The house of the flows, whose payments the papers tell of."""

from tests.flows.conftest import house, sandbox, sandbox_process

__all__ = ["house", "sandbox", "sandbox_process"]
