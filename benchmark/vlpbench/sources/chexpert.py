"""CheXpert v1.0 and v1.0-small."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from vlpbench.data.source import ImageRow, SourceRequest
from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench.registry import register_source
from vlpbench.sources.csv_file import FIRST_LINE
from vlpbench.sources.release import Release
from vlpbench.splits.chexpert import draw_5x200, pools_5x200

COLUMNS = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
CLASSES = tuple(column.lower().replace(" ", "_") for column in COLUMNS)
VALUES = {"": 0.0, "0": 0.0, "0.0": 0.0, "1": 1.0, "1.0": 1.0, "-1": -1.0, "-1.0": -1.0}
POLICIES = {"one": 1.0, "zero": 0.0, "unknown": float("nan")}
UNCERTAIN = {
    "atelectasis": "one",
    "cardiomegaly": "zero",
    "consolidation": "zero",
    "edema": "one",
    "pleural_effusion": "one",
}
"""What -1 becomes in GLoRIA and MGCA; unknown for the nine other classes."""
VIEW = "Frontal/Lateral"
FIRST_BATCH = "CheXpert-v1.0 batch 1 (validate & csv)"
HOMES = (".", FIRST_BATCH, "CheXpert-v1.0", "CheXpert-v1.0-small")
NAMES = {
    "train": ("train.csv", "train.csv.gz"),
    "valid": ("valid.csv", "valid.csv.gz"),
    "test": ("test.csv", "test.csv.gz", "test_labels.csv"),
}
SPLITS = {"valid": {"train": "train", "valid": "test"}, "test": {"train": "train", "valid": "val", "test": "test"}}
"""Split of each table, by the option `test`."""
PATIENT, STUDY = re.compile(r"patient\d+"), re.compile(r"study\d+")


@dataclass(frozen=True)
class _Table:
    """One table of the release: name of its part, file name, all cells, and where its patients' folders lie."""

    part: str
    file: str
    frame: pd.DataFrame
    folders: Mapping[str, str]
    default: str


@register_source(
    "chexpert",
    title="CheXpert v1.0",
    licence="Stanford University School of Medicine CheXpert Dataset Research Use Agreement; no redistribution",
    how="Agree to the terms at https://stanfordmlgroup.github.io/competitions/chexpert/ and download CheXpert-v1.0 or "
    "CheXpert-v1.0-small. Give the folder with train.csv, valid.csv, train/ and valid/, or the folder with the four "
    "batch folders.",
    tasks=("classification",),
    size="about 439 GB, or about 11 GB for CheXpert-v1.0-small",
    third_parties=False,
    known=(
        "Labels of train.csv come from an automatic labeller of the reports; -1 means uncertain, blank not mentioned.",
        "The official validation set of 200 patients is what most papers test on; 202 of its 234 images are frontal.",
        "The official validation set shows no fracture, one lung lesion and one other pleural finding.",
        "Reports are not part of it.",
    ),
    options={
        "folder": "folder of the release, relative to --src or --data (.)",
        "views": "'frontal', or 'all' with laterals (frontal)",
        "uncertain": "what -1 becomes, by class: 'one', 'zero' or 'unknown', such as {edema = 'zero'}; by default one "
        "for atelectasis, edema and pleural_effusion, zero for cardiomegaly and consolidation, unknown for all others",
        "test": "'valid': the official validation set tests; 'test': test.csv of 2022 tests and the official "
        "validation set validates (valid)",
    },
    version=1,
)
class CheXpert(Release):
    """Rows of train.csv and valid.csv, and of test.csv where it is asked for.

    Facts of a row: `csv_row` (from 0) in `file` (train.csv, valid.csv or test.csv) of `csv_length` rows, `view`
    (frontal or lateral), `raw` labels in the order of the header, joined by commas, `5x200` (its class, for rows of
    MGCA's 5x200 set) and `rest_row` (its row number once the 5x200 rows are taken out of train.csv, "" for these).
    """

    OPTIONS: ClassVar[Mapping[str, Any]] = {"views": "frontal", "uncertain": {}, "test": "valid"}

    def __init__(self, request: SourceRequest) -> None:
        """Resolve options and folder.

        Raises:
            UnknownNameError: for an option, class or policy that does not exist.
            VlpbenchError: without a folder, or where there is none.
        """
        super().__init__(request)
        for option, known in (("views", ("frontal", "all")), ("test", tuple(SPLITS))):
            if self.options[option] not in known:
                raise UnknownNameError(f"value of the option {option!r} of chexpert", str(self.options[option]), known)
        self._labels = {name: _meaning(policy) for name, policy in self._policies().items()}
        self._counts = {"images": 0, "not frontal": 0}

    def tables(self) -> Sequence[Path]:
        """train.csv, valid.csv, and test.csv where it is asked for.

        Raises:
            VlpbenchError: if one is missing.
        """
        home = self._home()
        return [self._table_file(home, part) for part in SPLITS[self.options["test"]]]

    def counts(self) -> dict[str, int]:
        """Images kept, and laterals left out; known once rows were made."""
        return dict(self._counts)

    def rows(self) -> Sequence[ImageRow]:
        """All images of the views asked for, in the order of the tables.

        Raises:
            VlpbenchError: if the folder is not the release.
            BadInputError: listing every path, view and label that is not as the release has them, and every repetition.
        """
        problems: list[str] = []
        kept = [row for table in self._tables() for row in self._rows(table, problems)]
        self.refuse(problems)
        every = self.options["views"] == "all"
        shown = [row for row in kept if every or row.facts["view"] == "frontal"]
        self._counts = {"images": len(shown), "not frontal": len(kept) - len(shown)}
        return shown

    def _policies(self) -> dict[str, str]:
        """What -1 becomes, by class, with the user's changes."""
        changed = self.options["uncertain"]
        if not isinstance(changed, Mapping):
            raise VlpbenchError(
                f"The option 'uncertain' of chexpert names a policy per class, such as {{edema = 'zero'}}; "
                f"got {changed!r}."
            )
        for name, policy in changed.items():
            if name not in CLASSES:
                raise UnknownNameError("class of chexpert (option 'uncertain')", str(name), CLASSES)
            if policy not in POLICIES:
                raise UnknownNameError(f"policy for uncertain {name} of chexpert", str(policy), POLICIES)
        return {name: changed.get(name, UNCERTAIN.get(name, "unknown")) for name in CLASSES}

    def _home(self) -> Path:
        """The folder of the tables."""
        for name in HOMES:
            if any((self.folder / name / file).is_file() for file in NAMES["train"]):
                return self.folder / name
        raise self.wrong(f"expected train.csv here, or in {', '.join(repr(name) for name in HOMES[1:])}")

    def _table_file(self, home: Path, part: str) -> Path:
        for file in NAMES[part]:
            if (home / file).is_file():
                return home / file
        where = f" in {home.name!r}" if home != self.folder else ""
        raise self.wrong(f"expected {' or '.join(NAMES[part])}{where}")

    def _tables(self) -> Iterator[_Table]:
        home = self._home()
        for part in SPLITS[self.options["test"]]:
            path = self._table_file(home, part)
            columns = ["Path", *([] if part == "test" else [VIEW]), *COLUMNS]
            folders, default = self._image_folders(home, part)
            yield _Table(part, path.name, self.table(path, columns=columns), folders, default)

    def _image_folders(self, home: Path, part: str) -> tuple[dict[str, str], str]:
        """Folders that hold patients which lie in a batch folder, and the folder of all others; relative."""
        for base in (home, self.folder, self.folder / FIRST_BATCH):
            if (base / part).is_dir():
                return {}, (base / part).relative_to(self.folder).as_posix()
        if part != "train":
            raise self.wrong(f"expected the image folder {part}")
        batches = sorted(entry for entry in self.folder.glob("CheXpert-v1.0 batch *(train*") if entry.is_dir())
        if not batches:
            raise self.wrong(
                "expected the image folder train, or the batch folders such as 'CheXpert-v1.0 batch 2 (train 1)'"
            )
        found = {}
        for batch in batches:
            base = batch / "train" if (batch / "train").is_dir() else batch
            place = base.relative_to(self.folder).as_posix()
            found.update({entry.name: place for entry in base.iterdir() if PATIENT.fullmatch(entry.name)})
        return found, batches[0].relative_to(self.folder).as_posix()

    def _rows(self, table: _Table, problems: list[str]) -> Iterator[ImageRow]:
        """Rows of one table, laterals included; problems are listed and skipped."""
        frame, seen = table.frame, set[str]()
        raw = frame[list(COLUMNS)].to_numpy(dtype=str)
        views = frame[VIEW].tolist() if VIEW in frame.columns else [""] * len(frame)
        drawn, rest = _five_by_200(frame) if table.part == "train" else ([""] * len(frame), [""] * len(frame))
        length, split = str(len(frame)), SPLITS[self.options["test"]][table.part]
        for number, (path, view, cells) in enumerate(zip(frame["Path"].tolist(), views, raw.tolist(), strict=True)):
            where, before = f"{table.file} row {number + FIRST_LINE}", len(problems)
            study, image = _place(path, table.part, where, problems)
            shown = _view(view, image, where, problems)
            labels = dict(self._read_labels(cells, where, problems))
            name = f"{table.part}/{study}/{image}"
            if len(problems) == before and name in seen:
                problems.append(f"{where}: the image {path} stands in an earlier row too; expected one row per image")
            seen.add(name)
            if len(problems) > before:
                continue
            patient = study.partition("/")[0]
            yield ImageRow(
                image_id=name,
                patient=patient,
                study=study,
                split=split,
                labels=labels,
                boxes_known=False,
                source_path=f"{table.folders.get(patient, table.default)}/{study}/{image}",
                facts={
                    "csv_row": str(number),
                    "csv_length": length,
                    "file": f"{table.part}.csv",
                    "view": shown,
                    "raw": ",".join(cells),
                    "5x200": drawn[number],
                    "rest_row": rest[number],
                },
            )

    def _read_labels(self, cells: Sequence[str], where: str, problems: list[str]) -> Iterator[tuple[str, float]]:
        for name, column, cell in zip(CLASSES, COLUMNS, cells, strict=True):
            if cell in VALUES:
                yield name, self._labels[name][cell]
            else:
                problems.append(f"{where}: column {column} is {cell!r}; expected 1.0, 0.0, -1.0 or blank")


def _meaning(policy: str) -> dict[str, float]:
    """What each spelling of a label becomes."""
    return {text: POLICIES[policy] if value == -1.0 else value for text, value in VALUES.items()}


def _place(path: str, part: str, where: str, problems: list[str]) -> tuple[str, str]:
    """Patient and study, and file name, of a path that may begin with the folder of any release."""
    pieces = path.split("/")
    wanted = f"{part}/patient00001/study1/view1_frontal.jpg"
    if (
        len(pieces) < 3
        or not PATIENT.fullmatch(pieces[-3])
        or not STUDY.fullmatch(pieces[-2])
        or not Path(pieces[-1]).suffix
    ):
        problems.append(f"{where}: Path is {path!r}; expected one like {wanted}")
        return "", ""
    if pieces[-4:-3] and pieces[-4] in NAMES and pieces[-4] != part:
        problems.append(f"{where}: Path is {path!r}, in the folder {pieces[-4]}; expected one like {wanted}")
    return f"{pieces[-3]}/{pieces[-2]}", pieces[-1]


def _view(view: str, image: str, where: str, problems: list[str]) -> str:
    """Frontal or lateral; tables without the column, such as some of the test set, tell it in the file name."""
    shown = view.lower() if view else image.rpartition(".")[0].rpartition("_")[2]
    if shown not in ("frontal", "lateral") and image:
        problems.append(f"{where}: {VIEW} is {view!r} for {image}; expected Frontal or Lateral")
    return shown


def _five_by_200(frame: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Per row of train.csv its class in the 5x200 set, and its number without that set; "" where there is none."""
    labels = pd.DataFrame(
        {name: frame[column].map(VALUES).fillna(-1.0) for name, column in zip(CLASSES, COLUMNS, strict=True)}
    )
    drawn = draw_5x200(pools_5x200(labels, (frame[VIEW] == "Frontal").to_numpy(dtype=bool)))
    classes = np.full(len(frame), "", dtype=object)
    for name, rows in drawn.items():
        classes[rows] = name
    rest = np.full(len(frame), "", dtype=object)
    if drawn:
        left = classes == ""
        rest[left] = np.arange(int(left.sum())).astype(str)
    return classes.tolist(), rest.tolist()
