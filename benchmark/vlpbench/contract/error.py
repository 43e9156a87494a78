"""What a check raises when a method breaks the contract."""

from __future__ import annotations

from vlpbench.errors import VlpbenchError


class ContractError(VlpbenchError):
    """A method breaks the contract; the message says what was found, why it matters and what to do."""
