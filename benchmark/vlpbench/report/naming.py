"""Naming: words for methods and contests, the same all over the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from vlpbench.statistics.comparison import Contest, Contestant
from vlpbench.table.layout import Layout
from vlpbench.table.titles import Titles, arch_title


def cached_titles(titles: Titles) -> Titles:
    """The same titles, each looked up once: a suite is a file, and a thousand records name it."""
    return replace(titles, method=cache(titles.method), task=cache(titles.task), suite=cache(titles.suite))


def method_title(name: str, titles: Titles, layouts: Sequence[Layout]) -> str:
    """A method as the tables print it: by its part in them where it is a floor or a ceiling, else by its card."""
    parts = [layout.floors.get(name) or layout.ceilings.get(name) for layout in layouts]
    told = next((part.title for part in parts if part is not None), "")
    return told or titles.method_card(name).row_title


def contest_title(contest: Contest) -> str:
    """What sets a contest apart from others."""
    limit = "" if contest.limit is None else f", at most {contest.limit} images per split"
    return f"suite {contest.suite}, protocol {contest.protocol}, {contest.image_size} px{limit}"


def short_title(one: Contestant) -> str:
    """A method's title without its backbone, where a heading names that."""
    arch = arch_title(one.arch)
    return one.title.replace(f" ({arch})", "").replace(f"({arch}, ", "(")
