"""Training curves: the losses of pre-training, a panel per method."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING

from vlpbench.figures.canvas import Sheet, render
from vlpbench.figures.captions import describe_suite, file_stem, head_of_suite
from vlpbench.figures.figure import Figure, NothingToDrawError
from vlpbench.figures.history import LOSS, TRAIN, VALIDATION, History, read_histories
from vlpbench.figures.line_labels import LineLabel, part_labels, write_labels
from vlpbench.figures.style import HIGHLIGHTS, INK, SMALL, TINY, TRIVIAL_LINE, LineStyle
from vlpbench.record import Record
from vlpbench.table.titles import Titles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas
    from matplotlib.lines import Line2D

LOSS_COLUMNS, LOSS_PANEL = 4, (2.5, 1.75)
TERM_COLUMNS, TERM_PANEL = 3, (3.5, 2.1)
LEGEND = 0.5
"""Sizes in inches."""
PARTS: dict[str, tuple[str, LineStyle, str]] = {
    TRAIN: (HIGHLIGHTS[0].colour, "-", "o"),
    VALIDATION: (HIGHLIGHTS[1].colour, (0, (5, 2)), "s"),
}
TITLE = 28
"""Letters on a line of a panel's title."""
TICKS = ((1,), (1, 3), (0.5, 1, 2, 5), (0.2, 0.4, 0.6, 0.8, 1, 1.5, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9))
LINEAR = 1.0
"""Terms are drawn on a linear scale up to this, and on a logarithmic one beyond."""
WORDS = {TRAIN: "training split", VALIDATION: "validation split"}


def draw_training_loss(records: Sequence[Record], titles: Titles) -> Figure:
    """The whole loss on both splits.

    Args:
        records: of one suite and input size.
        titles: of methods and suites.

    Raises:
        NothingToDrawError: where no record tells of its pre-training.
    """
    histories, without = _histories(records, titles)
    panels = _by_title(histories)
    columns = min(LOSS_COLUMNS, len(panels))
    lines = -(-len(panels) // columns)

    def draw(canvas: Canvas) -> None:
        grid = canvas.subplots(lines, columns, squeeze=False)
        for axes, (title, runs) in zip(grid.flat, panels.items(), strict=False):
            for history in runs:
                _draw_parts(axes, history, LOSS)
                _mark_best(axes, history)
            _frame(axes, title)
        _finish(canvas, list(grid.flat), len(panels), columns, "Loss (no unit), lower is better")

    first = records[0]
    name = file_stem("training_loss", first.spec.suite, f"{first.spec.image_size}px")
    sheet = Sheet(name, "Loss of pre-training", _head(first, titles), *_size(columns, lines, LOSS_PANEL))
    svg, png = render(sheet, draw)
    caption = (
        f"{describe_suite(first, titles)} Loss of pre-training after each epoch on the training split (solid) and the "
        f"validation split (dashed); the dotted line marks the epoch whose weights were kept. {_seeds(histories)} "
        f"Every method minimises a loss of its own, so heights cannot be compared between panels.{_untold(without)}"
    )
    return Figure(name, sheet.title, caption, _alternative(histories), svg, png)


def draw_training_terms(records: Sequence[Record], titles: Titles) -> Figure:
    """The terms of the loss, for methods that have more than one.

    Args:
        records: of one suite and input size.
        titles: of methods and suites.

    Raises:
        NothingToDrawError: where no record tells of terms.
    """
    histories, without = _histories(records, titles)
    panels = _by_title([history for history in histories if len(history.terms) > 1])
    if not panels:
        raise NothingToDrawError("no method with a record has a loss of several terms.")
    columns = min(TERM_COLUMNS, len(panels))
    lines = -(-len(panels) // columns)

    def draw(canvas: Canvas) -> None:
        grid = canvas.subplots(lines, columns, squeeze=False)
        drawn = []
        for axes, (title, runs) in zip(grid.flat, panels.items(), strict=False):
            for history in runs:
                for term in history.terms:
                    _draw_parts(axes, history, term)
            _scale(axes, runs)
            _frame(axes, title)
            labels = _term_labels(runs[0])
            drawn.append((axes, labels, write_labels(axes, labels, size=TINY - 0.5)))
        _finish(canvas, list(grid.flat), len(panels), columns, "Term of the loss (no unit)")
        part_labels(canvas, drawn)

    first = records[0]
    name = file_stem("training_terms", first.spec.suite, f"{first.spec.image_size}px")
    sheet = Sheet(name, "Terms of the loss in pre-training", _head(first, titles), *_size(columns, lines, TERM_PANEL))
    svg, png = render(sheet, draw)
    caption = (
        f"{describe_suite(first, titles)} Terms of the loss of pre-training as they are added up, after each epoch on "
        "the training split (solid) and the validation split (dashed); linear up to 1, logarithmic beyond. "
        f"{_seeds(histories)}{_untold(without)}"
    )
    return Figure(name, sheet.title, caption, _terms_alternative(panels), svg, png)


def _histories(records: Sequence[Record], titles: Titles) -> tuple[list[History], list[str]]:
    histories, without = read_histories(records, titles)
    if not histories:
        raise NothingToDrawError(
            f"none of {len(records)} record(s) tells the losses of its pre-training "
            "(provenance, backbone, lineage, history)."
        )
    return histories, without


def _by_title(histories: Sequence[History]) -> dict[str, list[History]]:
    panels: dict[str, list[History]] = {}
    for history in histories:
        panels.setdefault(history.title, []).append(history)
    return panels


def _size(columns: int, lines: int, panel: tuple[float, float]) -> tuple[float, float]:
    return max(columns * panel[0], 2 * panel[0]), lines * panel[1] + LEGEND


def _head(record: Record, titles: Titles) -> str:
    return f"{head_of_suite(record, titles)}, {record.spec.image_size} px"


def _draw_parts(axes: Axes, history: History, term: str) -> None:
    for part, (colour, line, marker) in PARTS.items():
        curve = history.losses[term].get(part, ())
        axes.plot(
            [epoch for epoch, _ in curve],
            [value for _, value in curve],
            color=colour,
            linestyle=line,
            linewidth=1.4,
            marker=marker,
            markersize=3,
        )


def _mark_best(axes: Axes, history: History) -> None:
    if history.best_epoch is not None:
        axes.axvline(history.best_epoch, color=INK, linestyle=TRIVIAL_LINE.line, linewidth=0.9, zorder=1)


def _frame(axes: Axes, title: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_title(fill(title, TITLE), fontsize=SMALL)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=1))


def _scale(axes: Axes, runs: Sequence[History]) -> None:
    """A scale for terms of very different size that may be 0 or negative."""
    values = [value for run in runs for term in run.terms for curve in run.losses[term].values() for _, value in curve]
    ticks = nice_ticks(min(values), max(values))
    axes.set_yscale("symlog", linthresh=LINEAR)
    axes.set_yticks(ticks, [f"{tick:.3g}" for tick in ticks])
    axes.yaxis.minorticks_off()


def nice_ticks(low: float, high: float) -> list[float]:
    """Round numbers from `low` to `high`, the coarsest choice that has three; the ends where there are none."""
    ticks: list[float] = []
    for choice in TICKS:
        positive = {number for multiple in choice for number in _powers(multiple, max(abs(low), abs(high)))}
        ticks = sorted(tick for tick in {0.0, *positive, *(-tick for tick in positive)} if low <= tick <= high)
        if len(ticks) >= 3:
            break
    return ticks if len(ticks) > 1 else sorted({low, high})


def _powers(multiple: float, most: float) -> list[float]:
    """A number times 1, 10, 100 …, up to `most`; what is below 1 only as it is."""
    found = [multiple]
    while multiple >= 1 and found[-1] * 10 <= most:
        found.append(found[-1] * 10)
    return found


def _finish(canvas: Canvas, grid: Sequence[Axes], used: int, columns: int, what: str) -> None:
    """Names of the axes at the border, and what the lines mean."""
    for place, axes in enumerate(grid):
        if place >= used:
            axes.set_axis_off()
            continue
        if place % columns == 0:
            axes.set_ylabel(what, fontsize=TINY)
        if place + columns >= used:
            axes.set_xlabel("Epoch", fontsize=TINY)
    canvas.legend(handles=_legend_entries(best=what.startswith("Loss")), loc="outside lower left", ncols=3)


def _legend_entries(*, best: bool) -> list[Line2D]:
    from matplotlib.lines import Line2D

    entries = [
        Line2D([], [], color=colour, linestyle=line, linewidth=1.4, marker=marker, markersize=3, label=WORDS[part])
        for part, (colour, line, marker) in PARTS.items()
    ]
    if best:
        entries.append(Line2D([], [], color=INK, linestyle=TRIVIAL_LINE.line, linewidth=0.9, label="weights kept"))
    return entries


def _term_labels(history: History) -> list[LineLabel]:
    """A label per term at the end of its validation curve, or of the training curve where there is no other."""
    labels = []
    for term in history.terms:
        parts = history.losses[term]
        part = VALIDATION if VALIDATION in parts else TRAIN
        labels.append(LineLabel(term, parts[part][-1], PARTS[part][0], INK, strong=False))
    return labels


def _seeds(histories: Sequence[History]) -> str:
    seeds = sorted({history.seed for history in histories})
    return f"One line per pre-training run (seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))})."


def _untold(without: Sequence[str]) -> str:
    if not without:
        return ""
    return f" Without losses, since nothing was trained or the record does not tell: {', '.join(without)}."


def _alternative(histories: Sequence[History]) -> str:
    """First and last loss of each run."""
    told = "; ".join(f"{history.title} {_told(history, LOSS)}" for history in histories)
    return f"Loss after the first and the last epoch. {told}."


def _terms_alternative(panels: dict[str, list[History]]) -> str:
    told = "; ".join(
        f"{title}: " + ", ".join(f"{term} {_told(runs[0], term)}" for term in runs[0].terms)
        for title, runs in panels.items()
    )
    return f"Terms of the loss after the first and the last epoch. {told}."


def _told(history: History, term: str) -> str:
    return " and ".join(
        f"{curve[0][1]:.3g} to {curve[-1][1]:.3g} on the {WORDS[part]}" for part, curve in history.losses[term].items()
    )
