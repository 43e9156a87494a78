"""COVIDx of COVID-Net, all versions of its label files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from vlpbench.data.source import ImageRow, SourceRequest
from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench.registry import register_source
from vlpbench.sources.release import Release

THREE = {"normal": "normal", "pneumonia": "pneumonia", "COVID-19": "covid", "positive": "covid"}
"""Classes as written to labels; lines that were added later say positive for COVID-19 in some editions of 9A."""
BINARY = {"negative": "no_covid", "positive": "covid"}
SEVERITY = {"level1": "level1", "level2": "level2"}
VOCABULARY = {*THREE, *BINARY, *SEVERITY}
VERSIONS: dict[str, Mapping[str, str]] = {
    **dict.fromkeys(("1", "2", "3", "4", "5", "7A", "8A", "9A", "CXR-3A"), THREE),
    **dict.fromkeys(("6", "7B", "8B", "9B", "CXR-3B", "CXR-4"), BINARY),
    "Sev": SEVERITY,
}
PLAIN = ("8B", "9B", "CXR-3B", "CXR-4")
"""Versions whose files are called train.txt and test.txt in the Kaggle archive."""
SUFFIXES = (".png", ".jpg", ".jpeg")
SOURCES = {"rnsa": "rsna"}
"""A slip of the pen in version 9."""


@dataclass(frozen=True)
class _Line:
    """One line of a label file."""

    patient: str
    name: str
    label: str
    source: str


@register_source(
    "covidx",
    title="COVIDx",
    licence="mixed, non-commercial research use; label files AGPL-3.0",
    how="Images: https://www.kaggle.com/datasets/andyczhao/covidx-cxr2 (version 5 of that archive for COVIDx 9A, "
    "version 9 for CXR-4). Label files: https://github.com/lindawangg/COVID-Net, folder labels; CXR-4 has its own. "
    "Give the folder with the label files, train/ and test/.",
    tasks=("classification",),
    size="not published; CXR-4 about 30 GB",
    known=(
        "The class goes with the source of an image, so a classifier may learn the source.",
        "13,588 training and 200 test images of version 9A are RSNA Pneumonia images, which are NIH ChestX-ray14 ones.",
        "Images of COVID-19 Image Data Collection are in it, which other COVID-19 datasets hold too.",
        "The Kaggle archive has versions of its own, and may lack files that the label files of COVIDx 9A name.",
        "In versions 6 and 7B, 2 test images are of a patient of the training file.",
        "3,079 lines of the training file of version 1 repeat an image, and one of version 4; each image counts once.",
    ),
    options={
        "folder": "folder of the release, relative to --src or --data (.)",
        "version": "label files to read: 1 to 6, 7A, 7B, 8A, 8B, 9A, 9B, CXR-3A, CXR-3B, CXR-4 or Sev (9A). Labels of "
        "1 to 5 and A: normal, pneumonia, covid; of 6, B and CXR-4: covid, no_covid; of Sev: level1, level2",
    },
    version=1,
)
class CovidX(Release):
    """Lines of the label files of one version.

    A line holds patient, file name, class and, in most versions, source, with blanks between them and no header;
    patient and file name may hold blanks themselves. Facts of a row: `csv_row` (line, from 0) in `file` of `csv_length`
    lines, `version`, `source` ("" where the line has none).
    """

    OPTIONS: ClassVar[Mapping[str, Any]] = {"version": "9A"}

    def __init__(self, request: SourceRequest) -> None:
        """Resolve options and folder.

        Raises:
            UnknownNameError: for an option or version that does not exist.
            VlpbenchError: without a folder, or where there is none.
        """
        super().__init__(request)
        self.version = str(self.options["version"])
        if self.version not in VERSIONS:
            raise UnknownNameError("version of covidx", self.version, VERSIONS)
        self._counts = {"images": 0, "repeated lines": 0}

    def tables(self) -> Sequence[Path]:
        """Label files of train and test, and of val for CXR-4.

        Raises:
            VlpbenchError: if one is missing, or the files are those of another version.
        """
        return list(self._files().values())

    def counts(self) -> dict[str, int]:
        """Images, and lines that repeat one; known once rows were made."""
        return dict(self._counts)

    def rows(self) -> Sequence[ImageRow]:
        """All images of the version, in the order of its files.

        Raises:
            VlpbenchError: if the folder is not the release.
            BadInputError: listing every line that is not as the release has them, and every image with two classes.
        """
        problems: list[str] = []
        self._counts = {"images": 0, "repeated lines": 0}
        files = self._files()
        for part in files:
            if not (self.folder / part).is_dir():
                raise self.wrong(f"expected the image folder {part}")
        kept = [row for part, path in files.items() for row in self._rows(part, path, problems)]
        self.refuse(problems)
        self._counts["images"] = len(kept)
        return kept

    def _files(self) -> dict[str, Path]:
        """Label file by part; a folder with val.txt is CXR-4, whose train.txt is no other version's."""
        newest, beside = self.version == "CXR-4", (self.folder / "val.txt").is_file()
        names = partial(_names, version=self.version, plain=newest or (self.version in PLAIN and not beside))
        if beside and not newest and not any((self.folder / name).is_file() for name in names("train")):
            raise self.wrong(f"expected {' or '.join(names('train'))}; val.txt belongs to the option version = 'CXR-4'")
        return {part: self.find(*names(part)) for part in (("train", "val", "test") if newest else ("train", "test"))}

    def _rows(self, part: str, path: Path, problems: list[str]) -> Iterator[ImageRow]:
        """Rows of one file; problems are listed and skipped."""
        classes = VERSIONS[self.version]
        texts = _read(path)
        seen: dict[str, str] = {}
        for row, (number, text) in enumerate(texts):
            where = f"{path.name} line {number}"
            line = _parse(text, classes)
            if isinstance(line, str):
                problems.append(f"{where}: {line}")
                continue
            if line.name in seen:
                if seen[line.name] != line.label:
                    problems.append(
                        f"{where}: the image {line.name} is {line.label} here and {seen[line.name]} in an earlier "
                        "line; expected one class per image"
                    )
                self._counts["repeated lines"] += 1
                continue
            seen[line.name] = line.label
            image = f"{part}/{line.name}"
            yield ImageRow(
                image_id=image,
                patient=line.patient,
                study=image,
                split=part,
                labels={name: float(name == line.label) for name in dict.fromkeys(classes.values())},
                boxes_known=False,
                source_path=image,
                facts={
                    "csv_row": str(row),
                    "csv_length": str(len(texts)),
                    "file": path.name,
                    "version": self.version,
                    "source": line.source,
                },
            )


def _names(part: str, version: str, *, plain: bool) -> list[str]:
    """File names that the labels of one part go by."""
    middle = {"1": "", "CXR-3A": "_CXR-3A", "CXR-3B": "_CXR-3B"}.get(version, version)
    named = [] if version == "CXR-4" else [f"{part}_COVIDx{middle}.txt"]
    names = [*named, *([f"{part}.txt"] if plain else [])]
    return [*names, *(f"labels/{name}" for name in names)]


def _read(path: Path) -> list[tuple[int, str]]:
    """Lines that are not blank, with their number from 1."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise VlpbenchError(f"{path} is not a text file in UTF-8: {error}") from error
    return [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]


def _parse(text: str, classes: Mapping[str, str]) -> _Line | str:
    """A line, or what is wrong with it.

    The class is the last word of the vocabulary, and the file name the word before it: the versions 7 and 8 have blanks
    in the patient ("COVID 12 COVID(12).png"). A name that was written with a blank before its bracket keeps it.
    """
    words = text.split()
    places = [place for place, word in enumerate(words) if word in VOCABULARY]
    if not places:
        return f"no class in {text.strip()!r}; expected one of {', '.join(classes)}"
    place = places[-1]
    if words[place] not in classes:
        return f"the class is {words[place]!r}; expected one of {', '.join(classes)}, or another version"
    first = place - 1
    while first > 1 and words[first].startswith("("):
        first -= 1
    if first < 1:
        return f"too few words in {text.strip()!r}; expected patient, file name, class and source"
    name = " ".join(words[first:place])
    if Path(name).suffix.lower() not in SUFFIXES or "/" in name or "\\" in name:
        return f"the file name is {name!r}; expected a name that ends in {', '.join(SUFFIXES)}"
    source = " ".join(words[place + 1 :])
    return _Line(" ".join(words[:first]), name, classes[words[place]], SOURCES.get(source, source))
