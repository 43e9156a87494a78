"""What is said where results hold nothing to draw or to report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vlpbench.errors import NothingToShowError


def no_records(suite: str | None, problems: Sequence[str], results: Path) -> NothingToShowError:
    """No record at all, or none of a suite, and what to run.

    Args:
        suite: that was asked for, None for all.
        problems: files the store could not trust; their number is told.
        results: results folder.
    """
    of = "" if suite is None else f" of the suite {suite}"
    untrusted = f"; {len(problems)} file(s) there could not be trusted" if problems else ""
    named = "" if suite is None else f" --suite {suite}"
    return NothingToShowError(
        f"No records{of} under {results / 'records'}{untrusted}. "
        f"Run: vlpbench run --method sista,random --tasks all{named} --results {results}"
    )
