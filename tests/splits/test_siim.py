from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import train_test_split

from vlpbench.errors import VlpbenchError
from vlpbench.splits.catalogue import find_recipe
from vlpbench.splits.recipe import NamedSplit

ROWS_OF_POSITIVES = {1: 2_045, 2: 447, 3: 112, 4: 40, 5: 9, 6: 16}
"""Images by rows of run lengths; the public table has some with up to 10, here put together at 5 and 6."""


def rows_manifest() -> tuple[pd.DataFrame, list[str]]:
    """12,047 made-up images, and the image of each of their 12,954 rows in the order of a table."""
    positives = [count for count, images in ROWS_OF_POSITIVES.items() for _ in range(images)]
    counts = np.array(positives + [1] * 9_378)
    generator = np.random.default_rng(1)
    order = generator.permutation(len(counts))
    listed = [f"{image:05d}" for image in order for _ in range(counts[image])]
    where: dict[str, list[str]] = {}
    for row, image in enumerate(listed):
        where.setdefault(image, []).append(str(row))
    names = [f"{image:05d}" for image in generator.permutation(len(counts))]
    frame = pd.DataFrame({"image_id": names, "fact:csv_rows": [" ".join(where[name]) for name in names]})
    frame["label:pneumothorax"] = [float(int(name) < len(positives)) for name in names]
    return frame, listed


def pictures_manifest(*, train: int = 10_675, positive: int = 2_379, test: int = 1_372) -> pd.DataFrame:
    generator = np.random.default_rng(2)
    shown = {"train": generator.permutation(train) < positive, "test": generator.permutation(test) < 290 * test // 1372}
    files = [f"{number}_{part}_{int(sick)}_" for part, sicks in shown.items() for number, sick in enumerate(sicks)]
    files = [files[place] for place in generator.permutation(len(files))]
    return pd.DataFrame(
        {
            "image_id": [f"1.2.{place}" for place in range(len(files))],
            "label:pneumothorax": [float(name.split("_")[2]) for name in files],
            "fact:official": [name.split("_")[1] for name in files],
            "fact:file": files,
        }
    )


def assign(frame: pd.DataFrame, name: str) -> NamedSplit:
    return find_recipe("siim", "segmentation", name).assign(frame)


def ids(frame: pd.DataFrame, rows: np.ndarray) -> list[str]:
    return [str(name) for name in frame["image_id"].to_numpy()[rows]]


def sizes(frame: pd.DataFrame, *parts: np.ndarray) -> list[tuple[int, int]]:
    labels = frame["label:pneumothorax"].to_numpy()
    return [(len(rows), int(labels[rows].sum())) for rows in parts]


def test_mgca_draws_rows_so_that_images_of_several_rows_fall_into_several_parts() -> None:
    frame, listed = rows_manifest()
    assert len(listed) == 12_954
    train, rest = train_test_split(listed, test_size=0.3, random_state=0)
    test, val = train_test_split(rest, test_size=0.5, random_state=0)
    assert [len(part) for part in (train, val, test)] == [9_067, 1_944, 1_943]
    split = assign(frame, "mgca-2022")
    assert ids(frame, split.val) == list(dict.fromkeys(val))
    assert ids(frame, split.test) == list(dict.fromkeys(test))
    leaked = sorted(set(split.train.tolist()) & set(split.test.tolist()))
    assert len(leaked) > 100
    assert all(" " in text for text in frame["fact:csv_rows"].to_numpy()[leaked])


def test_mgca_trains_on_all_positives_and_as_many_negatives() -> None:
    frame, listed = rows_manifest()
    train, _ = train_test_split(pd.DataFrame({"image": listed}), test_size=0.3, random_state=0)
    label_of = dict(zip(frame["image_id"], frame["label:pneumothorax"], strict=True))
    sick = train["image"].map(label_of) == 1
    positive, negative = train["image"][sick].unique(), train["image"][~sick].unique()
    drawn = np.random.RandomState(42).choice(negative, size=len(positive), replace=False)
    split = assign(frame, "mgca-2022")
    assert ids(frame, split.train) == [*positive, *(name for name in negative if name in set(drawn))]
    assert len(split.train) == 2 * len(positive)
    assert len(set(split.train.tolist())) == len(split.train)


def test_mgca_runs_where_negatives_are_fewer_than_positives() -> None:
    frame = pd.DataFrame({"image_id": [f"{number:02d}" for number in range(20)]})
    frame["fact:csv_rows"] = [str(number) for number in range(20)]
    frame["label:pneumothorax"] = [float(number % 4 > 0) for number in range(20)]
    split = assign(frame, "mgca-2022")
    assert {int(number) for number in split.train} | {int(row) for row in (*split.val, *split.test)} == set(range(20))


def test_mgca_needs_rows_and_benchx_file_names() -> None:
    with pytest.raises(VlpbenchError, match=r"which the PNG edition lacks\. Prepare an edition in DICOM"):
        assign(pictures_manifest(), "mgca-2022")
    with pytest.raises(VlpbenchError, match=r"file names of the PNG edition\. Prepare that edition"):
        assign(rows_manifest()[0], "benchx-2024")


def test_benchx_sizes_and_positives_are_the_published_ones() -> None:
    frame = pictures_manifest()
    split = assign(frame, "benchx-2024")
    found = sizes(frame, split.train, split.val, split.test)
    counts = find_recipe("siim", "classification", "benchx-2024").counts
    assert found == [(counts[part], counts[f"{part} positive"]) for part in ("train", "val", "test")]
    assert found == [(9_303, 2_073), (1_372, 306), (1_372, 290)]
    assert sizes(frame, split.fractions[0.01], split.fractions[0.1]) == [(93, 21), (930, 207)]
    together = np.concatenate([split.train, split.val, split.test])
    assert sorted(together.tolist()) == list(range(len(frame)))


def test_benchx_is_the_released_draw_in_its_order() -> None:
    frame = pictures_manifest()
    files = sorted(f"{name}.png" for name in frame["fact:file"])
    positive = [name for name in files if "_train_1_" in name]
    negative = [name for name in files if "_train_0_" in name]
    y = [1] * len(positive) + [0] * len(negative)
    train, val, of_train, _ = train_test_split(positive + negative, y, test_size=1_372, stratify=y, random_state=42)
    hundredth, _ = train_test_split(train, test_size=0.99, stratify=of_train, random_state=42)
    split = assign(frame, "benchx-2024")
    names = (frame["fact:file"] + ".png").to_numpy()
    assert names[split.train].tolist() == train
    assert names[split.val].tolist() == val
    assert names[split.test].tolist() == [name for name in files if "_test_" in name]
    assert names[split.fractions[0.01]].tolist() == hundredth


def test_benchx_runs_on_a_handful_without_its_lists() -> None:
    frame = pictures_manifest(train=18, positive=9, test=6)
    split = assign(frame, "benchx-2024")
    assert [len(split.train), len(split.val), len(split.test)] == [12, 6, 6]
    assert split.fractions == {}


def test_sista_has_the_shares_of_the_paper_and_every_image_once() -> None:
    frame, _ = rows_manifest()
    split = assign(frame, "sista-2026")
    assert [len(split.train), len(split.val), len(split.test)] == [8_432, 1_808, 1_807]
    train, rest = train_test_split(sorted(frame["image_id"]), test_size=0.3, random_state=0)
    assert ids(frame, split.train) == train
    assert ids(frame, split.test) == train_test_split(rest, test_size=0.5, random_state=0)[0]
    together = np.concatenate([split.train, split.val, split.test])
    assert sorted(together.tolist()) == list(range(len(frame)))


def test_the_leak_by_row_is_said() -> None:
    known = " ".join(find_recipe("siim", "segmentation", "mgca-2022").known)
    assert "154 are in train and test" in known
    assert "here masks are whole" in known
