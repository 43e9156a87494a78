"""Comparisons in long form: fractions in [0, 1] at full precision, empty where there is no number."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from vlpbench.commands.comparison_words import Compared
from vlpbench.statistics.comparison import ComparedCell, Comparison, Contestant, Runs

CSV_FIELDS = (
    "suite", "protocol", "image_size", "limit", "older_state", "first", "first_arch", "first_recipe", "second",
    "second_arch", "second_recipe", "task", "dataset", "metric", "fraction", "first_mean", "first_sd", "first_n",
    "second_mean", "second_sd", "second_n", "difference", "low", "high", "test", "seeds", "samples",
    "undefined_samples", "p_value", "p_holm", "verdict", "reason",
)  # fmt: skip
RANK_FIELDS = (
    "suite", "protocol", "image_size", "limit", "older_state", "method", "arch", "recipe", "average_rank", "cells",
    "methods", "friedman", "friedman_p", "critical_difference",
)  # fmt: skip


def comma_separated(all_compared: Sequence[Compared]) -> str:
    """Compared cells, one line each."""
    return _csv(
        CSV_FIELDS,
        [
            {**_where(compared), **_pair(comparison), **_numbers(cell)}
            for compared in all_compared
            for comparison in compared.comparisons
            for cell in comparison.cells
        ],
    )


def comma_separated_ranks(all_compared: Sequence[Compared]) -> str:
    """Average ranks, one line per method."""
    rows: list[dict[str, object]] = []
    for compared in all_compared:
        ranking = compared.ranking
        if ranking is None:
            continue
        for one, average in zip(ranking.contestants, ranking.averages, strict=True):
            rows.append(
                {
                    **_where(compared),
                    "method": one.name,
                    "arch": one.arch,
                    "recipe": one.recipe,
                    "average_rank": repr(average),
                    "cells": ranking.cells,
                    "methods": len(ranking.contestants),
                    "friedman": _exact(ranking.statistic),
                    "friedman_p": _exact(ranking.p_value),
                    "critical_difference": repr(ranking.critical_difference),
                }
            )
    return _csv(RANK_FIELDS, rows)


def _csv(fields: Sequence[str], rows: Sequence[dict[str, object]]) -> str:
    sheet = io.StringIO()
    writer = csv.DictWriter(sheet, fields, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return sheet.getvalue()


def _where(compared: Compared) -> dict[str, object]:
    contest = compared.contest
    return {
        "suite": contest.suite,
        "protocol": contest.protocol,
        "image_size": contest.image_size,
        "limit": "" if contest.limit is None else contest.limit,
        "older_state": "; ".join(contest.older),
    }


def _pair(comparison: Comparison) -> dict[str, object]:
    return {**_who("first", comparison.ours), **_who("second", comparison.theirs)}


def _who(place: str, one: Contestant) -> dict[str, object]:
    return {place: one.name, f"{place}_arch": one.arch, f"{place}_recipe": one.recipe}


def _numbers(cell: ComparedCell) -> dict[str, object]:
    found = cell.difference
    tested: dict[str, object] = {}
    if found is not None:
        tested = {
            "difference": repr(found.mean),
            "low": repr(found.low),
            "high": repr(found.high),
            "test": found.test,
            "seeds": " ".join(map(str, found.seeds)),
            "samples": found.samples,
            "undefined_samples": found.undefined,
            "p_value": repr(found.p_value),
            "p_holm": _exact(cell.p_holm),
        }
    return {
        "task": cell.column.task,
        "dataset": cell.column.dataset,
        "metric": cell.column.metric,
        "fraction": repr(cell.column.fraction),
        **_runs("first", cell.ours),
        **_runs("second", cell.theirs),
        **tested,
        "verdict": cell.verdict,
        "reason": cell.reason,
    }


def _runs(place: str, runs: Runs) -> dict[str, object]:
    return {f"{place}_mean": _exact(runs.mean), f"{place}_sd": _exact(runs.sd), f"{place}_n": runs.n}


def _exact(value: float | None) -> str:
    return "" if value is None else repr(value)
