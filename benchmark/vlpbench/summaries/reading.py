"""Reads summaries back, for the corpus."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vlpbench.errors import BadInputError, VlpbenchError
from vlpbench.summaries.prompt import prompt_hash
from vlpbench.summaries.store import SummaryStore
from vlpbench.summaries.studies import text_hash

MAX_MISSING = 0.02
"""Share of studies that may lack a summary, as for unreadable images: a model may refuse a report for good."""


def load_summaries(
    path: Path, *, reports: Mapping[str, str] | None = None, max_missing: float = MAX_MISSING
) -> dict[str, str]:
    """Summaries by study id; "" where the model said nothing.

    Args:
        path: file that `vlpbench data summarize` wrote, its header beside it.
        reports: study id to report of the corpus they are for; a study whose report differs from the one that was
            summarised counts as one without a summary, and summaries of other studies are left out.
        max_missing: share of `reports`, in [0, 1], that may lack a summary.

    Raises:
        BadInputError: listing bad lines, or the studies without a summary when they are too many.
        VlpbenchError: if file or header is missing.
    """
    if not path.is_file():
        raise VlpbenchError(f"No summaries at {path}. Expected the .jsonl file that `vlpbench data summarize` wrote.")
    store = SummaryStore(path)
    store.header()
    lines = {line.study: line for line in store.lines()}
    if reports is None:
        return {study: line.summary for study, line in lines.items()}
    found, problems = {}, []
    for study, report in reports.items():
        line = lines.get(study)
        if line is None:
            problems.append(f"study {study!r} has none")
        elif line.report != text_hash(report):
            problems.append(f"study {study!r}: the report is not the one that was summarised")
        else:
            found[study] = line.summary
    if len(problems) > max_missing * len(reports):
        raise BadInputError(
            f"{path} lacks summaries of {len(problems)} of {len(reports)} studies, more than the share "
            f"{max_missing:g} that is allowed:",
            problems,
            next_step="Run `vlpbench data summarize` on this corpus again: it writes what is missing.",
        )
    return found


def describe_summaries(path: Path) -> str:
    """Where summaries come from, in a sentence for the lineage of a backbone.

    Raises:
        VlpbenchError: if the header is missing or of another format.
    """
    header = SummaryStore(path).header()
    if not header["prompt"]:
        return "the impression of each report, else its sentences in reverse order"
    written_by = header["written_by"]
    version = next((f" ({key} {written_by[key]})" for key in ("revision", "weights") if written_by.get(key)), "")
    empty = header["counts"]["empty"]
    without = f"; {empty} of {header['counts']['written']} are empty" if empty else ""
    return f"written by {header['model']}{version} with prompt {prompt_hash(header['prompt'])}{without}"
