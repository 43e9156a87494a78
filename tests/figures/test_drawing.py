from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from defusedxml import ElementTree

from tests.figures.small_store import make_history, make_record, without_predictions
from vlpbench.data.source import ImageRow, Pixels
from vlpbench.errors import VlpbenchError
from vlpbench.figures import drawing
from vlpbench.figures.drawing import build_figures
from vlpbench.figures.figure import Figure
from vlpbench.record import Record
from vlpbench.sources.phantom import PhantomSource
from vlpbench.store import RecordStore
from vlpbench.table.titles import Titles

SVG = "{http://www.w3.org/2000/svg}"
NAMES = [
    "label_efficiency-classification-phantom-clean-32px",
    "class_auroc-chexpert-phantom-clean-32px",
    "precision_recall-classification-phantom-clean-32px",
    "label_efficiency-segmentation-phantom-clean-32px",
    "predictions-masks-siim-phantom-clean-32px",
    "label_efficiency-detection-phantom-clean-32px",
    "precision_recall-detection-phantom-clean-32px",
    "predictions-boxes-rsna-phantom-clean-32px",
    "ablation-sista-phantom-clean-32px",
    "training_loss-phantom-32px",
    "training_terms-phantom-32px",
]


def _build(records: list[Record], store: RecordStore, titles: Titles) -> tuple[dict[str, Figure], list[str]]:
    left_out: list[str] = []
    found = build_figures(records, store, None, titles, data=None, left_out=left_out.append)
    return {figure.name: figure for figure in found}, left_out


@pytest.fixture(scope="module")
def drawn(records: list[Record], store: RecordStore) -> dict[str, Figure]:
    from vlpbench.table.titles import registered_titles

    found, left_out = _build(records, store, registered_titles())
    assert left_out == []
    return found


def test_every_kind_is_drawn(drawn: dict[str, Figure]) -> None:
    assert list(drawn) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_is_sound_and_told_in_words(drawn: dict[str, Figure], name: str) -> None:
    figure = drawn[name]
    root = ElementTree.fromstring(figure.svg)
    assert root.tag == f"{SVG}svg"
    assert root.find(f"{SVG}title").text == figure.title
    assert figure.png.startswith(b"\x89PNG")
    assert "Synthetic data." in figure.caption
    assert "Suite phantom: Drawn." in figure.caption
    assert "seed" in figure.caption
    assert len(figure.alternative) > 40
    assert "nan" not in (figure.alternative + figure.caption).lower().split()


def _one(figures: Iterator[Figure], name: str) -> Figure:
    return next(figure for figure in figures if figure.name == name)


@pytest.mark.parametrize(
    ("part", "names"),
    [
        ("classification", NAMES[:3]),
        ("segmentation", NAMES[3:5]),
        ("detection", NAMES[5:8]),
        ("ablation", NAMES[8:9]),
        ("pretraining", NAMES[9:]),
    ],
)
def test_the_same_bytes_again(
    drawn: dict[str, Figure],
    part: str,
    names: list[str],
    records: list[Record],
    store: RecordStore,
    titles: Titles,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    of_block = drawing._of_block
    monkeypatch.setattr(
        drawing, "_of_block", lambda block, *rest: of_block(block, *rest) if block.layout.task == part else ()
    )
    if part != "pretraining":
        monkeypatch.setattr(drawing, "_of_pretraining", lambda *_: ())
    again = list(build_figures(list(reversed(records)), store, None, titles, data=None))
    assert again == [drawn[name] for name in names]


def test_no_records_give_no_figures(store: RecordStore, titles: Titles) -> None:
    assert _build([], store, titles) == ({}, [])


def test_records_without_predictions_or_history_are_drawn_as_far_as_they_go(
    records: list[Record], store: RecordStore, titles: Titles
) -> None:
    bare = [
        replace(without_predictions(record), provenance={**record.provenance, "backbone": {}})
        for record in records
        if record.spec.task == "segmentation" and record.spec.method in ("sista", "random")
    ]
    found, left_out = _build(bare, store, titles)
    assert list(found) == ["label_efficiency-segmentation-phantom-clean-32px"]
    assert len(left_out) == 3
    assert left_out[0].startswith("Segmentation (suite phantom, protocol clean, 32 px), predicted masks of SIIM-like: ")
    assert "keeps no predictions" in left_out[0]
    assert "Suite phantom, 32 px, loss of pre-training: none of 8 record(s) tells the losses" in left_out[1]


def test_undefined_metrics_leave_nothing_to_draw(store: RecordStore, titles: Titles) -> None:
    record = make_record(None)
    found, left_out = _build([record], store, titles)
    assert found == {}
    assert any("label efficiency: no record of segmentation has a defined metric" in line for line in left_out)


def test_an_older_state_is_named_and_kept_apart(store: RecordStore, titles: Titles) -> None:
    old = make_record(0.4)
    old = replace(old, key="old", foundations=replace(old.foundations, split_hash="another"))
    new = make_record(0.5)
    new = replace(new, provenance={**new.provenance, "started_at": "2026-05-05T00:00:00+00:00"})
    found, left_out = _build([old, new], store, titles)
    assert "SISTA 50.0" in found["label_efficiency-segmentation-phantom-clean-32px"].alternative
    assert any("records of an older state: siim: split another, not 59117000" in line for line in left_out)


def test_two_protocols_are_two_figures(store: RecordStore, titles: Titles) -> None:
    found, _ = _build([make_record(0.4), make_record(0.8, protocol="mgca")], store, titles)
    assert "SISTA 40.0" in found["label_efficiency-segmentation-phantom-clean-32px"].alternative
    assert "SISTA 80.0" in found["label_efficiency-segmentation-phantom-mgca-32px"].alternative


def test_an_image_that_cannot_be_read_is_drawn_on_plain_ground(
    drawn: dict[str, Figure],
    records: list[Record],
    store: RecordStore,
    titles: Titles,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_: PhantomSource, row: ImageRow) -> Pixels:
        raise OSError(f"disk of {row.image_id} is gone")

    monkeypatch.setattr(PhantomSource, "read", fail)
    name = "predictions-masks-siim-phantom-clean-32px"
    wanted = [record for record in records if record.spec.task == "segmentation"]
    figure = _one(build_figures(wanted, store, None, titles, data=None), name)
    assert "Drawn on plain ground where the radiograph cannot be had: phantom:siim-" in figure.caption
    assert "is gone." in figure.caption
    assert "plain ground" not in drawn[name].caption
    assert figure.alternative == drawn[name].alternative
    assert figure.png != drawn[name].png


def test_images_that_were_drawn_anew_otherwise_are_not_shown(
    records: list[Record], store: RecordStore, titles: Titles, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = PhantomSource.read

    def other(source: PhantomSource, row: ImageRow) -> Pixels:
        pixels = read(source, row)
        return replace(pixels, mask=None if pixels.mask is None else 1 - pixels.mask)

    monkeypatch.setattr(PhantomSource, "read", other)
    wanted = [record for record in records if record.spec.task == "segmentation"]
    figure = _one(build_figures(wanted, store, None, titles, data=None), "predictions-masks-siim-phantom-clean-32px")
    assert "is annotated otherwise in the data there is now" in figure.caption


def test_a_suite_that_is_not_there_leaves_the_ground_plain(
    records: list[Record], store: RecordStore, titles: Titles
) -> None:
    wanted = [record for record in records if record.spec.task == "detection"]
    unknown = replace(titles, suite=lambda _: None)
    figure = _one(build_figures(wanted, store, None, unknown, data=None), NAMES[7])
    assert "be had: no suite phantom that ships with vlpbench tells where the images of rsna are." in figure.caption


def test_the_gallery_shows_best_median_and_worst(drawn: dict[str, Figure]) -> None:
    told = drawn["predictions-masks-siim-phantom-clean-32px"].alternative
    scores = [float(part.split("SISTA ")[1].split(",")[0]) for part in told.split("; ")]
    assert len(scores) == 6
    assert scores == sorted(scores, reverse=True)
    assert "Random initialisation" in told


class _Asked:
    """A resampler that is asked, and has nothing."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def prefetch(self, wanted: Iterator[Record]) -> None:
        self.records += wanted

    def values(self, record: Record) -> None:
        assert record in self.records
        raise VlpbenchError("nothing to resample")


def test_intervals_are_fetched_at_once_for_what_is_drawn_with_them(
    records: list[Record], store: RecordStore, titles: Titles
) -> None:
    asked = _Asked()
    figures = build_figures(records, store, asked, titles, data=None)  # type: ignore[arg-type]
    figure = next(figures)
    assert {record.spec.task for record in asked.records} == {"classification", "segmentation", "detection"}
    brought_out = {"sista", "convirt", "clip", "sista_sia", "sista_sia_sta"}
    assert {record.spec.method for record in asked.records} == brought_out
    assert "No intervals: nothing to resample." in figure.caption


def test_a_folder_of_several_suites_has_curves_of_each(store: RecordStore, titles: Titles) -> None:
    records = [make_record(0.5, suite=suite, history=make_history(2.0)) for suite in ("phantom", "mine")]
    found, _ = _build(records, store, titles)
    assert {"training_loss-mine-32px", "training_loss-phantom-32px"} <= set(found)


def test_names_are_told_apart_and_safe(store: RecordStore, titles: Titles) -> None:
    records = [make_record(0.5, suite="of mine", limit=limit, dataset="a&b <c>") for limit in (None, 10)]
    found, _ = _build(records, store, titles)
    name = "label_efficiency-segmentation-of_mine-clean-32px"
    assert {name, f"{name}-limit10"} <= set(found)
    for figure in found.values():
        ElementTree.fromstring(figure.svg)
