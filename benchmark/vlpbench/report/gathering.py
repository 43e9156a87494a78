"""Gathering: from records to the contents of the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from vlpbench.record import Record, latest_attempts
from vlpbench.report.cautions import build_cautions
from vlpbench.report.cells import cells_data
from vlpbench.report.content import Contents
from vlpbench.report.drawing import Drawn
from vlpbench.report.findings import Finding, build_findings
from vlpbench.report.glossary import build_glossary
from vlpbench.report.methods import run_cards
from vlpbench.report.naming import cached_titles
from vlpbench.report.origins import code_versions, newest_date, origin_sheets, total_time
from vlpbench.report.pictures import shared_caption, split_pictures, without_caption
from vlpbench.report.standings import Standing, build_standings
from vlpbench.report.tables import table_parts
from vlpbench.report.wording import without_folder
from vlpbench.statistics.comparison import Contest
from vlpbench.statistics.resampler import Resampler
from vlpbench.table.blocks import Block
from vlpbench.table.layout import Layout
from vlpbench.table.titles import Titles

Told = TypeVar("Told", Finding, Standing)


def gather(
    records: Sequence[Record],
    problems: Sequence[str],
    *,
    blocks: Sequence[Block],
    contests: Sequence[Contest],
    drawing: Callable[[], Drawn],
    layouts: Sequence[Layout],
    resampler: Resampler,
    titles: Titles,
) -> Contents:
    """Everything the page shows.

    Args:
        records: all attempts, from the store.
        problems: files the store could not trust.
        blocks: tables, with intervals where these are to be shown.
        contests: what may be compared, newest states first.
        drawing: gives the figures; asked for last, since they may be under way elsewhere.
        layouts: of the tables.
        resampler: bootstrap samples of the records.
        titles: words for names.
    """
    titles = cached_titles(titles)
    latest = latest_attempts(records)
    current = [contest for contest in contests if not contest.older]
    told = partial(without_folder, root=resampler.store.root)
    cautions = build_cautions(latest, problems, blocks, titles, root=resampler.store.root)
    findings = [_cleaned(one, told) for one in build_findings(current, blocks, resampler, titles)]
    standings = [_cleaned(one, told) for one in build_standings(current, resampler, titles)]
    drawn = drawing()
    drawings, galleries = split_pictures(replace(one, caption=told(one.caption)) for one in drawn.figures)
    shared = shared_caption([*drawings, *galleries])
    suites = sorted({record.spec.suite for record in latest})
    return Contents(
        title=f"Benchmark report: suite{'s' if len(suites) > 1 else ''} {', '.join(suites)}",
        facts=_facts(latest),
        cautions=cautions,
        findings=findings,
        tables=table_parts(blocks, titles),
        shared_caption=shared,
        drawings=without_caption(drawings, shared),
        galleries=without_caption(galleries, shared),
        not_drawn=[told(line) for line in drawn.left_out],
        standings=standings,
        methods=run_cards(latest, layouts, titles),
        cells=cells_data(_ordered(records, layouts), layouts, titles),
        glossary=build_glossary(latest, layouts, titles),
        origins=origin_sheets(latest),
    )


def _cleaned(part: Told, told: Callable[[str], str]) -> Told:
    """A part whose remarks do not say where the results lay."""
    return replace(part, remarks=tuple(told(line) for line in part.remarks))


def _facts(records: Sequence[Record]) -> tuple[tuple[str, str], ...]:
    methods = len({record.spec.method for record in records})
    seeds = len({record.spec.seed for record in records})
    cells = f"{len(records):,} ({methods} methods, {seeds} evaluation seed{'s' if seeds > 1 else ''})"
    return (
        ("newest record", newest_date(records)),
        ("made by", code_versions(records)),
        ("cells", cells),
        ("time of all cells", f"{total_time(records)}, without pre-training"),
    )


def _ordered(records: Sequence[Record], layouts: Sequence[Layout]) -> list[Record]:
    """Records by suite, task and dataset, and within these as the tables have them."""
    tasks = list(dict.fromkeys(task for layout in layouts for task in layout.tasks))
    methods = list(dict.fromkeys(name for layout in layouts for name in layout.methods))

    def place(record: Record) -> tuple[object, ...]:
        spec = record.spec
        task, method = _position(spec.task, tasks), _position(spec.method, methods)
        judged = (spec.suite, spec.protocol, task, spec.task, spec.dataset, method, spec.method, spec.arch)
        return (*judged, spec.fraction, spec.pretrain_seed, spec.seed, record.key, record.attempt)

    return sorted(records, key=place)


def _position(name: str, order: Sequence[str]) -> int:
    return order.index(name) if name in order else len(order)
