"""The served vault of the flows."""

from tests.flows.conftest import world

__all__ = ["world"]
