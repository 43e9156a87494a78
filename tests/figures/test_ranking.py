from __future__ import annotations

from tests.figures.small_store import make_record
from vlpbench.figures.ranking import compared_rows, highlighted_rows, rank_rows, row_strokes, short_titles, shown_rows
from vlpbench.figures.style import CEILING_LINE, FLOOR_LINE, HIGHLIGHTS, OTHER_LINE, TRIVIAL_LINE
from vlpbench.record import Record
from vlpbench.table.blocks import Block, build_blocks
from vlpbench.table.layout import select_layouts
from vlpbench.table.titles import Titles


def _block(records: list[Record], titles: Titles) -> Block:
    (block,) = build_blocks(records, select_layouts("segmentation")[0], titles)
    return block


def _records(**values: tuple[float | None, ...]) -> list[Record]:
    columns = [("siim", 0.1), ("siim", 1.0), ("rsna", 1.0)]
    return [
        make_record(value, method=method, dataset=dataset, fraction=fraction)
        for method, row in values.items()
        for (dataset, fraction), value in zip(columns, row, strict=False)
    ]


def test_rows_are_ranked_by_their_average_rank(titles: Titles) -> None:
    values = {"convirt": (0.9, 0.8, 0.8), "clip": (0.5, 0.9, 0.7), "mgca": (0.6, 0.7, 0.9), "random": (1.0, 1.0, 1.0)}
    assert [row.name for row in rank_rows(_block(_records(**values), titles))] == ["convirt", "mgca", "clip"]


def test_a_row_without_any_number_has_no_rank(titles: Titles) -> None:
    block = _block(_records(convirt=(0.9, 0.8), clip=(None, None), mgca=(0.1, 0.1)), titles)
    assert [row.name for row in rank_rows(block)] == ["convirt", "mgca"]


def test_being_alone_in_a_column_is_no_merit(titles: Titles) -> None:
    values = {"clip": (0.9, 0.5), "mgca": (0.8, 0.4), "prior": (0.7, 0.3), "convirt": (None, None, 0.9)}
    ranked = [row.name for row in rank_rows(_block(_records(**values), titles))]
    assert ranked[0] == "clip"
    assert ranked.index("convirt") > ranked.index("mgca")


def test_the_best_three_and_the_own_method_are_brought_out(titles: Titles) -> None:
    values = {"convirt": (0.9,), "clip": (0.8,), "mgca": (0.7,), "prior": (0.6,), "sista": (0.1,), "random": (0.0,)}
    block = _block(_records(**values), titles)
    assert [row.name for row in highlighted_rows(block)] == ["convirt", "clip", "mgca", "sista"]
    assert [row.name for row in compared_rows(block)] == ["convirt", "clip", "mgca", "sista", "random"]
    assert [row.name for row in shown_rows(block)] == ["sista", "random"]


def test_without_the_own_method_the_best_is_shown(titles: Titles) -> None:
    assert [row.name for row in shown_rows(_block(_records(convirt=(0.3,), clip=(0.8,)), titles))] == ["clip"]
    assert shown_rows(_block(_records(convirt=(None,)), titles)) == []


def test_each_kind_of_row_is_drawn_in_its_own_way(titles: Titles) -> None:
    values = {"convirt": (0.9,), "clip": (0.8,), "mgca": (0.7,), "prior": (0.6,), "supervised": (1,), "random": (0.0,)}
    block = _block(_records(**values), titles)
    drawn = {row.name: stroke for row, stroke in row_strokes(block).items()}
    assert [drawn[name] for name in ("convirt", "clip", "mgca")] == list(HIGHLIGHTS[:3])
    assert drawn["prior"] == OTHER_LINE
    assert (drawn["random"], drawn["always_empty"], drawn["supervised"]) == (FLOOR_LINE, TRIVIAL_LINE, CEILING_LINE)


def test_the_architecture_is_named_where_there_are_several(titles: Titles) -> None:
    one = _records(convirt=(0.5,), clip=(0.6,))
    assert set(short_titles(_block(one, titles).rows).values()) == {"ConVIRT", "CLIP", "Always-empty mask"}
    both = [*one, make_record(0.7, method="clip", arch="vit_b16")]
    assert "CLIP (ViT-B/16)" in short_titles(_block(both, titles).rows).values()
    assert "CLIP (ResNet-18)" in short_titles(_block(both, titles).rows).values()
