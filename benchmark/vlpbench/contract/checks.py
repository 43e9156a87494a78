"""The checks of a method that trains, by name, in the order in which they are run."""

from __future__ import annotations

from collections.abc import Callable

from vlpbench.contract.cards import check_card
from vlpbench.contract.repetition import check_chunks, check_evaluation, check_parts, check_resuming, check_saving
from vlpbench.contract.terms import (
    check_bfloat16,
    check_gradients,
    check_needs,
    check_small_batches,
    check_terms,
    check_unknowns,
)
from vlpbench.method import Method

Check = Callable[[type[Method], str], None]

METHOD_CHECKS: dict[str, Check] = {
    "card is complete": check_card,
    "terms are finite scalars": check_terms,
    "needs are named": check_needs,
    "two pairs, one pair": check_small_batches,
    "nothing known of the pairs": check_unknowns,
    "gradient reaches the backbone": check_gradients,
    "parts put together are the whole": check_parts,
    "chunks give the same gradient": check_chunks,
    "evaluation repeats itself": check_evaluation,
    "backbone is saved and read back": check_saving,
    "a resumed run repeats itself": check_resuming,
    "towers in bfloat16": check_bfloat16,
}
