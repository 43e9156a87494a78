"""Where the tables, images and reports of MIMIC-CXR lie: PhysioNet keeps them in two projects."""

from __future__ import annotations

from pathlib import Path

from vlpbench.sources.confined import confined
from vlpbench.sources.release import Release

HOMES = (
    ".",
    "2.0.0",
    "2.1.0",
    "mimic-cxr-jpg/2.0.0",
    "mimic-cxr-jpg/2.1.0",
    "mimic-cxr/2.0.0",
    "mimic-cxr/2.1.0",
)
"""Where PhysioNet's own download leaves the files, from the folder that the user names."""
VERSIONS = ("2.0.0", "2.1.0")
REPORT_PLACES = (
    "mimic-cxr-reports.zip",
    "mimic-cxr-reports/files",
    "mimic-cxr-reports",
    "reports/mimic-cxr-reports.zip",
    "reports/files",
    "reports",
    "files",
    ".",
)
GROUP = "p1[0-9]"


def given_path(release: Release, option: str) -> Path | None:
    """The path that an option names, None where it names none.

    Raises:
        VlpbenchError: if it leaves the release, or there is nothing.
    """
    if not release.options[option]:
        return None
    path = confined(release.folder, str(release.options[option]))
    if not path.exists():
        raise release.wrong(f"the option {option} names {release.options[option]}, which is not there")
    return path


def find_table(release: Release, name: str, *, hint: str = "") -> Path:
    """The table of that name, such as "metadata", packed or not.

    Raises:
        VlpbenchError: if it is missing; the hint is added.
    """
    for home in HOMES:
        for version in VERSIONS:
            for suffix in (".csv", ".csv.gz"):
                path = release.folder / home / f"mimic-cxr-{version}-{name}{suffix}"
                if path.is_file():
                    return path
    raise release.wrong(f"expected mimic-cxr-2.0.0-{name}.csv.gz or .csv of MIMIC-CXR-JPG, here or in 2.0.0/{hint}")


def find_images(release: Release) -> Path:
    """The folder that holds p10 to p19.

    Raises:
        VlpbenchError: if there is none.
    """
    given = given_path(release, "images")
    places = [given] if given else [release.folder / home / "files" for home in HOMES]
    for place in places:
        if any(place.glob(GROUP)):
            return place
    raise release.wrong(f"expected the group folders p10 to p19 in {release.options['images'] or 'files'}/")


def find_reports(release: Release) -> Path:
    """A zip of reports, or a folder that holds at least one.

    Raises:
        VlpbenchError: if there is neither.
    """
    given = given_path(release, "reports")
    if given and given.is_file():
        return given
    homes = [given] if given else [release.folder / home for home in HOMES]
    for place in (home / name for name in REPORT_PLACES for home in homes):
        if place.is_file() or any(place.glob(f"{GROUP}/p*/s*.txt")):
            return place
    raise release.wrong(
        "expected mimic-cxr-reports.zip or reports such as reports/files/p10/p10000032/s50414267.txt; the options "
        "reports and sections name other places"
    )
