"""Open-i as the National Library of Medicine gives it: an XML file a report, and the radiographs as PNG or DICOM."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from vlpbench.data.source import ImageRow
from vlpbench.sources.confined import PathError, confined
from vlpbench.sources.openi_kaggle import read_projections
from vlpbench.sources.openi_listing import SECTIONS, Choices, Listing, report_text
from vlpbench.sources.release import index_images

PATIENT = re.compile(r"CXR\d+")
SUFFIXES = (".png", ".dcm")


@dataclass(frozen=True)
class Report:
    """One XML file: its id, sections by name in lower case, major MeSH terms and the ids of its images."""

    uid: str
    sections: Mapping[str, str]
    mesh: str
    images: tuple[str, ...]


def find_reports(folder: Path) -> list[Path]:
    """The XML files of `ecgen-radiology`, wherever below the folder it was unpacked, by number."""
    return sorted(folder.rglob("ecgen-radiology/*.xml"), key=lambda path: (len(path.stem), path.stem))


def list_nlm(folder: Path, reports: Sequence[Path], projections: Path | None, choices: Choices) -> Listing:
    """Images of the NLM edition.

    Args:
        folder: of the release; images may lie anywhere below it.
        reports: XML files.
        projections: Kaggle's `indiana_projections.csv`, since the XML names no view; None keeps every image.
        choices: what to keep.
    """
    listing = Listing()
    views = None if projections is None else {row.stem: row.view for row in read_projections(projections, listing)}
    gathering = _Gathering(folder, index_images(folder, SUFFIXES), views, choices, listing)
    seen: dict[str, str] = {}
    for path in reports:
        report = _read(path, listing.problems)
        if report is None:
            continue
        for name in (report.uid, *report.images):
            if name in seen:
                listing.problems.append(f"{path.name}: {name!r} stands in {seen[name]} too")
            seen[name] = path.name
        listing.counts["reports"] += 1
        listing.counts["reports without images"] += not report.images
        for image in report.images:
            gathering.add(path, report, image)
    return listing


@dataclass(frozen=True)
class _Gathering:
    """Where images are looked for, and what becomes of them."""

    folder: Path
    index: Mapping[str, list[Path]]
    views: Mapping[str, str] | None
    choices: Choices
    listing: Listing

    def add(self, path: Path, report: Report, image: str) -> None:
        """List one image, or count why it is left out."""
        try:
            confined(self.folder, f"{image}.png")
        except PathError as error:
            self.listing.problems.append(f"{path.name}: {error}")
            return
        view = self._view(report.uid, image)
        if self.views is not None and view not in self.choices.views:
            self.listing.counts[f"{view or 'unknown'} images left out"] += 1
            return
        self.listing.add(
            ImageRow(
                image_id=image,
                patient=report.uid,
                study=report.uid,
                report=report_text(report.sections, keep_placeholders=self.choices.keep_placeholders),
                boxes_known=False,
                source_path=self._source(report.uid, image),
                facts={"view": view, "mesh": report.mesh},
            )
        )

    def _view(self, uid: str, image: str) -> str:
        """View of an image, "" where nothing says it."""
        views = self.views or {}
        return next((views[stem] for stem in _stems(uid, image) if stem in views), "")

    def _source(self, uid: str, image: str) -> str:
        """Path of an image relative to the folder, PNG before DICOM; where it would be if it is missing."""
        found = [path for stem in _stems(uid, image) for path in self.index.get(stem, [])]
        for suffix in SUFFIXES:
            fitting = (path for path in found if path.suffix.lower() == suffix)
            names = sorted({path.relative_to(self.folder).as_posix() for path in fitting})
            if len(names) > 1:
                self.listing.problems.append(f"image {image!r} lies in two places: {names[0]} and {names[1]}")
            if names:
                return names[0]
        return f"{image}.png"


def _stems(uid: str, image: str) -> tuple[str, str, str]:
    """Names an image file may have: its id as PNG; as DICOM and on Kaggle without CXR, or without the report's id."""
    return image, image.removeprefix("CXR"), image.removeprefix(f"{uid}_")


def _read(path: Path, problems: list[str]) -> Report | None:
    """One report, or None after its problem was listed."""
    # Reports are strangers' XML: entities, which can blow up in memory or read other files, are refused.
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import parse

    try:
        root = parse(path).getroot()
    except DefusedXmlException as error:
        problems.append(f"{path.name}: declares entities, which a report never does ({type(error).__name__}); refused")
        return None
    except (ParseError, ValueError, LookupError, OSError) as error:
        problems.append(f"{path.name}: not well-formed XML ({error})")
        return None
    if root is None:
        problems.append(f"{path.name}: not well-formed XML (no element)")
        return None
    return _report(root, path, problems)


def _report(root: Element, path: Path, problems: list[str]) -> Report | None:
    element = root.find("uId")
    uid = "" if element is None else element.get("id", "")
    texts = {node.get("Label", "").lower(): node.text or "" for node in root.iter("AbstractText")}
    missing = [name.upper() for name in SECTIONS if name not in texts]
    if not PATIENT.fullmatch(uid):
        problems.append(f"{path.name}: the id of uId is {uid!r}; expected one such as CXR1")
        return None
    if missing:
        problems.append(f"{path.name}: no AbstractText labelled {' or '.join(missing)}; expected all four sections")
        return None
    images = tuple(node.get("id", "") for node in root.iter("parentImage"))
    if "" in images:
        problems.append(f"{path.name}: a parentImage without an id")
        return None
    mesh = "; ".join(node.text or "" for node in root.iterfind("MeSH/major"))
    return Report(uid, texts, mesh, images)
