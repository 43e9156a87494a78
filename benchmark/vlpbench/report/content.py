"""Contents: everything that the page shows, worked out from the records before any HTML is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vlpbench.report.cautions import Caution
from vlpbench.report.findings import Finding
from vlpbench.report.glossary import Glossary
from vlpbench.report.methods import RunCard
from vlpbench.report.origins import Sheet
from vlpbench.report.pictures import Picture
from vlpbench.report.standings import Standing
from vlpbench.report.tables import TablePart

Anchor = tuple[str, str]


@dataclass(frozen=True)
class Part:
    """One part of the page, for the list of contents.

    Attributes:
        anchor: id within the page.
        title: as printed.
        entries: anchors and titles of what is in it.
    """

    anchor: str
    title: str
    entries: tuple[Anchor, ...] = ()


@dataclass(frozen=True)
class Contents:
    """The whole page.

    Attributes:
        title: of the page.
        facts: names and values under the title.
        cautions: warnings, serious ones first.
        findings: one per task and backbone.
        tables: one per block.
        shared_caption: what all figures have in common.
        drawings: figures.
        galleries: figures made of images.
        not_drawn: figures that could not be drawn, and why.
        standings: ranks and pairs of methods, one per suite and backbone.
        methods: run cards.
        cells: see `vlpbench.report.cells`.
        glossary: marks, metrics and words.
        origins: provenance, as tables.
    """

    title: str
    facts: tuple[Anchor, ...]
    cautions: Sequence[Caution]
    findings: Sequence[Finding]
    tables: Sequence[TablePart]
    shared_caption: str
    drawings: Sequence[Picture]
    galleries: Sequence[Picture]
    not_drawn: Sequence[str]
    standings: Sequence[Standing]
    methods: Sequence[RunCard]
    cells: dict[str, Any]
    glossary: Glossary
    origins: Sequence[Sheet]

    @property
    def parts(self) -> list[Part]:
        """The list of contents, in the order of the page."""
        parts = [
            Part("warnings", "Before you read a number"),
            Part("found", "What was found"),
            Part("tables", "Tables", tuple((table.anchor, table.short_title) for table in self.tables)),
            Part("figures", "Figures"),
            Part("galleries", "Galleries"),
            Part("comparison", "Comparison"),
            Part("methods", "Run cards"),
            Part("cells", "All cells"),
            Part("glossary", "Glossary"),
            Part("origins", "Where the numbers come from"),
        ]
        empty = {
            "galleries": not self.galleries,
            "figures": not self.drawings and not self.not_drawn,
            "comparison": not self.standings,
            "found": not self.findings,
        }
        return [part for part in parts if not empty.get(part.anchor, False)]
