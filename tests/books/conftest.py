"""The house of the flows, for what is asked of the books."""

from tests.flows.conftest import house, sandbox, sandbox_process

__all__ = ["house", "sandbox", "sandbox_process"]
