"""MIMIC-CXR: chest radiographs of 65,379 patients, a report to each study."""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from vlpbench.data.decoding import UnreadableImageError
from vlpbench.data.source import ImageRow, Pixels, SourceRequest
from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench.registry import register_source
from vlpbench.sources.image_tree import find_suffixes
from vlpbench.sources.mimic_cxr_layout import GROUP, find_images, find_reports, find_table, given_path
from vlpbench.sources.mimic_cxr_tables import read_images, read_labels
from vlpbench.sources.mimic_cxr_texts import LOST, TextRules, Told, tell_from_reports, tell_from_table
from vlpbench.sources.release import Release
from vlpbench.sources.report_labels import UNKNOWN
from vlpbench.sources.report_sections import LAST_PARAGRAPH
from vlpbench.sources.report_store import DAMAGED, UNDECODABLE

SUFFIXES = (".jpg", ".jpeg", ".png", ".dcm", ".dcm.gz")
PACKED = ".dcm.gz"
LARGEST_DICOM = 400_000_000
CHOICES: Mapping[str, tuple[str, ...]] = {
    "labels": ("chexpert", "negbio", "none"),
    "fallback": ("none", LAST_PARAGRAPH),
    "exceptions": ("drop", "use"),
}
"""Options that are one word out of a few."""


@register_source(
    "mimic_cxr",
    title="MIMIC-CXR: 377,110 chest radiographs of 227,835 studies with a report each",
    licence="PhysioNet credentialed health data licence: no redistribution, nothing shown to third parties",
    how="Credentialed account at https://physionet.org; MIMIC-CXR-JPG (images and tables) from "
    "https://physionet.org/content/mimic-cxr-jpg/, mimic-cxr-reports.zip from https://physionet.org/content/mimic-cxr/.",
    tasks=("pre-training",),
    size="as the two project pages say",
    third_parties=False,
    known=(
        "Labels were read off the reports by a program, not off the images; eight studies have none.",
        "Several images of a study share its report.",
        "Blank ViewPosition: such images are left out unless recover_views is set.",
        "The official rules miss a heading on a report's first line, and take the heading NDICATION for an impression; "
        "both are kept.",
        "54 studies that the official rules do not fit are left out unless exceptions is set to use, as in MGCA.",
        "MGCA validates on the official validate and test parts together; here they stay apart.",
        "MS-CXR, RadGraph and CXR-LT are made of the same images.",
        "A report edited by hand inside a folder of reports is not noticed once the data is prepared.",
    ),
    options={
        "images": "folder that holds p10 to p19, relative to the release; found by itself in the usual places",
        "reports": "folder of reports or mimic-cxr-reports.zip, relative to the release; likewise",
        "sections": "mimic_cxr_sectioned.csv of the official create_section_files.py, used instead of reports",
        "labels": "chexpert (default), negbio or none: which table labels come from",
        "views": "ViewPosition of the images to keep (PA and AP)",
        "recover_views": "whether a blank ViewPosition is filled from ViewCodeSequence_CodeMeaning (false)",
        "fallback": "for reports without findings and impression: none leaves them out, as MGCA (default), "
        "last_paragraph takes that",
        "exceptions": "for the 54 studies that the section rules do not fit: drop, as MGCA (default), or use the "
        "places that the official lists name",
    },
    version=1,
)
class MimicCxr(Release):
    """Frontal images with impression and findings; DICOM or JPEG."""

    OPTIONS: ClassVar[Mapping[str, Any]] = {
        "images": "",
        "reports": "",
        "sections": "",
        "labels": "chexpert",
        "views": ["PA", "AP"],
        "recover_views": False,
        "fallback": "none",
        "exceptions": "drop",
    }

    def __init__(self, request: SourceRequest) -> None:
        """Check the options.

        Raises:
            UnknownNameError: for an option, or a value of one, that does not exist.
            VlpbenchError: for views that are no list of words, and without a folder.
        """
        super().__init__(request)
        views = self.options["views"]
        if not isinstance(views, list | tuple) or not views or not all(isinstance(view, str) for view in views):
            raise VlpbenchError(f"The option views of mimic_cxr is {views!r}; expected a list such as ['PA', 'AP'].")
        if not isinstance(self.options["recover_views"], bool):
            raise VlpbenchError(
                f"The option recover_views of mimic_cxr is {self.options['recover_views']!r}; expected true or false."
            )
        for name, choices in CHOICES.items():
            if self.options[name] not in choices:
                raise UnknownNameError(f"value of the option {name!r} of mimic_cxr", str(self.options[name]), choices)
        self._counts: dict[str, int] | None = None

    def tables(self) -> Sequence[Path]:
        """Metadata, split, labels, and the file of sections or reports where it is one.

        Raises:
            VlpbenchError: if one of them is missing.
        """
        metadata, split, *labels = self._tables()
        texts = self._texts
        return [metadata, split, *labels, *([texts] if texts.is_file() else [])]

    def require(self) -> None:
        """Find every table, reports and images."""
        super().require()
        find_images(self)

    def stamp(self) -> object:
        """Tables, and where reports lie in a folder, the times of its group folders."""
        texts = self._texts
        groups = sorted(texts.glob(GROUP)) if texts.is_dir() else []
        return [super().stamp(), [[group.name, group.stat().st_mtime_ns] for group in groups]]

    def counts(self) -> dict[str, int]:
        """Images by what became of them, then studies."""
        if self._counts is None:
            self.rows()
        return dict(self._counts or {})

    def rows(self) -> Sequence[ImageRow]:
        """Images of the wanted views whose study has a text, in the order of the metadata.

        Raises:
            BadInputError: listing malformed, repeated or contradicting ids, splits, labels and unreadable reports.
            VlpbenchError: if no image is left.
        """
        problems: list[str] = []
        metadata, split, *labelled = self._tables()
        root = find_images(self)
        frame = read_images(self.table, metadata, split, self.options, problems)
        labels = read_labels(self.table, labelled[0], problems) if labelled else None
        self.refuse(problems)
        wanted = frame[frame["view"].isin([view.upper() for view in self.options["views"]])]
        if wanted.empty:
            views = ", ".join(sorted(set(frame["view"]) - {""})) or "none"
            raise VlpbenchError(f"No image of {self.folder} has a view of {self.options['views']}; there are: {views}.")
        told = self._told(wanted, problems)
        self.refuse(problems)
        self._count(frame, wanted, told, labels)
        kept = wanted[wanted["study_id"].map({study: bool(said.text) for study, said in told.items()})]
        if kept.empty:
            listed = ", ".join(f"{count} {name}" for name, count in self.counts().items())
            raise VlpbenchError(f"No image of {self.folder} has a report to train on: {listed}. Check `reports`.")
        return list(self._rows(root, kept, told, labels))

    def read(self, row: ImageRow) -> Pixels:
        """Decode a JPEG or DICOM file; `.dcm.gz` too.

        Raises:
            UnreadableImageError: if it cannot be decoded.
        """
        if not row.source_path.lower().endswith(PACKED):
            return super().read(row)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "image.dcm"
            path.write_bytes(_unpacked(self.folder / row.source_path))
            return super().read(ImageRow(row.image_id, row.patient, row.study, source_path=str(path)))

    def _tables(self) -> list[Path]:
        """Metadata, split, and labels where they are wanted."""
        found = [find_table(self, "metadata"), find_table(self, "split")]
        name = self.options["labels"]
        if name != "none":
            found.append(find_table(self, name, hint=" (or set the option labels to none)"))
        return found

    @cached_property
    def _texts(self) -> Path:
        """File of sections, or file or folder of reports."""
        return given_path(self, "sections") or find_reports(self)

    def _told(self, wanted: pd.DataFrame, problems: list[str]) -> dict[str, Told]:
        """What is told of each study, by study."""
        studies = dict(zip(wanted["study_id"].tolist(), wanted["subject_id"].tolist(), strict=True))
        rules = TextRules(self.options["fallback"], self.options["exceptions"])
        tell = tell_from_table if self.options["sections"] else tell_from_reports
        return tell(self._texts, studies, rules, problems)

    def _count(
        self, frame: pd.DataFrame, wanted: pd.DataFrame, told: Mapping[str, Told], labels: Mapping[str, object] | None
    ) -> None:
        """Images add up: all of them are not frontal, lost for one reason, or kept."""
        sources = wanted["study_id"].map({study: said.source for study, said in told.items()}).value_counts()
        lost = {name: int(sources.get(name, 0)) for name in LOST}
        texts = {study: said.text for study, said in told.items() if said.text}
        self._counts = {
            "images": len(frame),
            "not frontal": len(frame) - len(wanted),
            **lost,
            "kept": len(wanted) - sum(lost.values()),
            "views recovered": int(frame["recovered"].sum()),
            "studies kept": len(texts),
            "studies without usable text": len(told) - len(texts),
            "studies whose text is not all UTF-8": sum(UNDECODABLE in text for text in texts.values()),
            "studies kept without labels": sum(study not in (labels or {}) for study in texts),
        }

    def _rows(
        self,
        root: Path,
        kept: pd.DataFrame,
        told: Mapping[str, Told],
        labels: Mapping[str, Mapping[str, float]] | None,
    ) -> Iterator[ImageRow]:
        """Rows; labels and facts that are alike are one object, or a third of a million rows would not fit."""
        base = "" if root == self.folder else f"{root.relative_to(self.folder).as_posix()}/"
        folders = "p" + kept["subject_id"].str[:2] + "/p" + kept["subject_id"] + "/s" + kept["study_id"]
        suffixes = find_suffixes(root, folders.unique(), suffixes=SUFFIXES)
        facts: dict[tuple[str, str], dict[str, str]] = {}
        columns = (kept[name].tolist() for name in ("dicom_id", "subject_id", "study_id", "split", "view"))
        for image, patient, study, split, view, folder in zip(*columns, folders.tolist(), strict=True):
            text, source = told[study]
            stem = f"{folder}/{image}"
            yield ImageRow(
                image_id=image,
                patient=patient,
                study=study,
                split=split,
                report=text,
                labels={} if labels is None else labels.get(study, UNKNOWN),
                boxes_known=False,
                source_path=f"{base}{stem}{suffixes.get(stem, SUFFIXES[0])}",
                facts=facts.setdefault((view, source), {"view": view, "sections": source}),
            )


def _unpacked(path: Path) -> bytes:
    """Bytes of a gzip file, no more than a radiograph can have."""
    try:
        with gzip.open(path) as file:
            data = file.read(LARGEST_DICOM + 1)
    except DAMAGED as error:
        raise UnreadableImageError("no such file" if isinstance(error, FileNotFoundError) else str(error)) from error
    if len(data) > LARGEST_DICOM:
        raise UnreadableImageError(f"more than {LARGEST_DICOM:,} bytes unpacked")
    return data
