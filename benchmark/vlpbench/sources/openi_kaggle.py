"""Open-i as it lies on Kaggle: two tables and the radiographs as PNG, with the projection of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from vlpbench.data.source import ImageRow
from vlpbench.sources.confined import PathError, confined
from vlpbench.sources.csv_file import lines, read_csv
from vlpbench.sources.openi_listing import Choices, Listing, report_text

REPORTS = ("indiana_reports.csv", "indiana_reports.csv.gz")
PROJECTIONS = ("indiana_projections.csv", "indiana_projections.csv.gz")
IMAGES = ("images/images_normalized", "images_normalized", "images")
REPORT_COLUMNS = ("uid", "MeSH", "findings", "impression")
VIEWS = ("frontal", "lateral")


@dataclass(frozen=True)
class Projection:
    """A row of the projections: the report's number, the image file, "frontal" or "lateral", and where it stands."""

    uid: str
    filename: str
    view: str
    where: str

    @property
    def stem(self) -> str:
        """Name of the DICOM file that the image was made from, without suffix."""
        return self.filename.removesuffix(".png").removesuffix(".dcm")


def list_kaggle(folder: Path, reports: Path, projections: Path, images: Path, choices: Choices) -> Listing:
    """Images of the Kaggle edition.

    Args:
        folder: of the release.
        reports: `indiana_reports.csv`.
        projections: `indiana_projections.csv`.
        images: folder of the PNG files.
        choices: what to keep.
    """
    listing = Listing()
    told = _reports(reports, listing)
    for projection in read_projections(projections, listing):
        entry = told.get(projection.uid)
        if entry is None:
            listing.problems.append(f"{projection.where}: uid {projection.uid!r} has no row in {reports.name}")
            continue
        source = images / projection.filename
        try:
            confined(images, projection.filename)
        except PathError as error:
            listing.problems.append(f"{projection.where}: {error}")
            continue
        if projection.view not in choices.views:
            listing.counts[f"{projection.view} images left out"] += 1
            continue
        listing.add(
            ImageRow(
                image_id=projection.filename,
                patient=f"CXR{projection.uid}",
                study=f"CXR{projection.uid}",
                report=report_text(entry, keep_placeholders=choices.keep_placeholders),
                boxes_known=False,
                source_path=source.relative_to(folder).as_posix(),
                facts={"view": projection.view, "mesh": entry["MeSH"]},
            )
        )
    return listing


def read_projections(path: Path, listing: Listing) -> Iterator[Projection]:
    """Rows of `indiana_projections.csv`; problems go to the listing.

    Raises:
        VlpbenchError: if the file is unreadable or lacks a column.
    """
    seen: set[str] = set()
    for line, entry in lines(read_csv(path, columns=("uid", "filename", "projection"))):
        where = f"{path.name} row {line}"
        view = entry["projection"].lower()
        if view not in VIEWS:
            listing.problems.append(f"{where}: projection is {entry['projection']!r}; expected Frontal or Lateral")
        elif not entry["uid"].isdigit():
            listing.problems.append(f"{where}: uid is {entry['uid']!r}; expected a number")
        elif not entry["filename"]:
            listing.problems.append(f"{where}: the filename is blank")
        elif entry["filename"] in seen:
            listing.problems.append(f"{where}: image {entry['filename']!r} stands in an earlier row too")
        else:
            seen.add(entry["filename"])
            yield Projection(entry["uid"], entry["filename"], view, where)


def _reports(path: Path, listing: Listing) -> dict[str, Mapping[str, str]]:
    found: dict[str, Mapping[str, str]] = {}
    for line, entry in lines(read_csv(path, columns=REPORT_COLUMNS)):
        if entry["uid"] in found:
            listing.problems.append(f"{path.name} row {line}: uid {entry['uid']!r} stands in an earlier row too")
        found[entry["uid"]] = entry
    listing.counts["reports"] = len(found)
    return found
