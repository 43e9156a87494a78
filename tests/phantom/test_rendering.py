"""Pixels: the same on every machine, with each finding where the report says it is."""

import hashlib
import json
import pickle
from dataclasses import astuple, replace

import numpy as np
import pytest

from vlpbench.errors import VlpbenchError
from vlpbench.phantom import POPULATIONS, Finding, Study, render, studies

# To renew after a deliberate change (raise GENERATOR_VERSION with it): python tests/phantom/test_rendering.py
GOLDEN: dict[str, tuple[str, str]] = {
    "corpus": ("33865eb1e8aca255", "2778496c94c018c7"),
    "chexpert": ("684a6b38e0c1fe0b", "d194e5e254b212f9"),
    "rsna": ("584b617110868e23", "0674b5df5446b88f"),
    "covidx": ("c330c62f66bc7787", "7f652d5b2f819368"),
    "siim": ("36f93fde985238bf", "a54576287063c08e"),
    "object_cxr": ("ddf7609484059714", "ccd76ee817585477"),
}
SIDED = ("pleural_effusion", "atelectasis", "consolidation", "pneumothorax", "chest_tube", "foreign_object")
GRADES = {"pleural_effusion": "moderate", "pneumothorax": "large", "consolidation": "severe"}
LOCATIONS = {"consolidation": "mid", "atelectasis": "lower", "foreign_object": "coin"}


def digests(population: str) -> tuple[str, str]:
    """Short hashes of the description and of the 64-pixel renders of three studies."""
    sample = studies(population, count=3, seed=17)
    text = json.dumps([astuple(study) for study in sample])
    pixels = hashlib.sha256()
    for study in sample:
        rendered = render(study, 64)
        pixels.update(rendered.image.tobytes())
        for name, mask in sorted(rendered.masks.items()):
            pixels.update(name.encode() + np.packbits(mask).tobytes())
        pixels.update(json.dumps([astuple(box) for box in rendered.boxes]).encode())
    return hashlib.sha256(text.encode()).hexdigest()[:16], pixels.hexdigest()[:16]


def healthy(index: int) -> Study:
    """A normal study to draw into."""
    return [study for study in studies("corpus", count=120, seed=23) if not study.findings][index]


def with_finding(study: Study, kind: str, side: str) -> Study:
    finding = Finding(kind, side, GRADES.get(kind, "mild"), LOCATIONS.get(kind, ""), 0.8, 1, 5)
    return replace(study, findings=(finding,))


@pytest.mark.parametrize("population", POPULATIONS)
def test_golden(population: str) -> None:
    assert digests(population) == GOLDEN[population]


def test_rendering_needs_only_the_study_and_a_size() -> None:
    study = studies("corpus", count=5, seed=2)[4]
    first = render(study, 96)
    render(studies("siim", count=1, seed=9)[0], 96)
    again = render(pickle.loads(pickle.dumps(study)), 96)
    assert first.image.tobytes() == again.image.tobytes()
    assert first.boxes == again.boxes


def test_another_seed_is_another_study() -> None:
    one, other = studies("corpus", count=4, seed=0), studies("corpus", count=4, seed=1)
    assert [study.report for study in one] != [study.report for study in other]
    assert not np.array_equal(render(one[0], 64).image, render(other[0], 64).image)


@pytest.mark.parametrize("kind", SIDED)
@pytest.mark.parametrize("side", ["left", "right"])
def test_the_patients_left_is_on_the_right_of_the_image(kind: str, side: str) -> None:
    for index in range(3):
        study = healthy(index)
        before, after = render(study, 96), render(with_finding(study, kind, side), 96)
        change = np.abs(after.image.astype(float) - before.image.astype(float))
        left_half, right_half = change[:, :44].sum(), change[:, 52:].sum()
        assert (right_half > 4 * left_half) == (side == "left")
        assert (left_half > 4 * right_half) == (side == "right")
        assert after.masks[kind][:, 48:].sum() > after.masks[kind][:, :48].sum() or side == "right"


@pytest.mark.parametrize(
    ("kind", "brighter"),
    [("pleural_effusion", True), ("consolidation", True), ("atelectasis", True), ("pneumothorax", False)],
)
def test_fluid_is_bright_and_free_air_is_dark(kind: str, brighter: bool) -> None:
    for index in range(3):
        study = healthy(index)
        before, after = render(study, 96), render(with_finding(study, kind, "left"), 96)
        inside = after.masks[kind]
        change = after.image[inside].mean() - before.image[inside].mean()
        assert (change > 3.0) if brighter else (change < -1.0)


def test_a_large_heart_is_wider() -> None:
    study = healthy(0)
    finding = Finding("cardiomegaly", "none", "severe", "heart", 0.9, 1, 5)
    before, after = render(study, 96), render(replace(study, findings=(finding,)), 96)
    assert after.image[50:64, 20:80].mean() > before.image[50:64, 20:80].mean() + 5.0


@pytest.mark.parametrize("population", POPULATIONS)
@pytest.mark.parametrize("size", [64, 97])
def test_boxes_are_the_extent_of_their_masks(population: str, size: int) -> None:
    for study in studies(population, count=25, seed=6):
        rendered = render(study, size)
        assert rendered.image.shape == (size, size)
        assert rendered.image.dtype == np.uint8
        assert set(rendered.masks) - {"lung", "lung_opacity"} == {finding.kind for finding in study.findings}
        for box in rendered.boxes:
            assert box.width >= 1.0
            assert box.height >= 1.0
            assert 0.0 <= box.x <= box.x + box.width <= size
            assert 0.0 <= box.y <= box.y + box.height <= size
        for name, mask in rendered.masks.items():
            boxes = [box for box in rendered.boxes if box.label == name.replace("consolidation", "lung_opacity")]
            if name != "lung":
                rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
                assert columns[0] == min(box.x for box in boxes)
                assert rows[0] == min(box.y for box in boxes)
                assert columns[-1] + 1 == max(box.x + box.width for box in boxes)
                assert rows[-1] + 1 == max(box.y + box.height for box in boxes)


def test_lung_opacity_masks_are_filled_boxes() -> None:
    positives = [study for study in studies("rsna", count=40, seed=6) if study.labels["lung_opacity"]]
    for study in positives:
        rendered = render(study, 96)
        boxes = [box for box in rendered.boxes if box.label == "lung_opacity"]
        filled = np.zeros((96, 96), dtype=bool)
        for box in boxes:
            filled[int(box.y) : int(box.y + box.height), int(box.x) : int(box.x + box.width)] = True
        assert 1 <= len(boxes) <= 3
        assert np.array_equal(rendered.masks["lung_opacity"], filled)


def test_every_object_has_a_box_of_the_stated_size() -> None:
    for study in studies("object_cxr", count=60, seed=6):
        boxes = [box for box in render(study, 192).boxes if box.label == "foreign_object"]
        assert len(boxes) == sum(finding.count for finding in study.findings if finding.kind == "foreign_object")
        for box in boxes:
            assert 0.04 * 192 <= max(box.width, box.height) <= 0.22 * 192


def test_a_study_looks_the_same_at_every_size() -> None:
    for study in studies("corpus", count=6, seed=12):
        small, large = render(study, 64), render(study, 256)
        shrunk = large.image.reshape(64, 4, 64, 4).mean(axis=(1, 3))
        assert np.corrcoef(shrunk.ravel(), small.image.ravel())[0, 1] > 0.9
        assert abs(small.masks["lung"].mean() - large.masks["lung"].mean()) < 0.02


def test_a_patient_keeps_the_anatomy() -> None:
    sample = [study for study in studies("corpus", count=60, seed=2) if study.patient_id == "corpus-p00001"]
    same = replace(sample[0], seed=sample[0].seed + 1)
    other = replace(sample[0], patient_seed=sample[0].patient_seed + 1)
    assert not np.array_equal(render(same, 64).image, render(sample[0], 64).image)
    assert not np.array_equal(render(other, 64).masks["lung"], render(sample[0], 64).masks["lung"])


def test_a_size_too_small_is_refused() -> None:
    with pytest.raises(VlpbenchError, match="32"):
        render(healthy(0), 8)


if __name__ == "__main__":
    print(json.dumps({name: digests(name) for name in POPULATIONS}, indent=4))  # noqa: T201
