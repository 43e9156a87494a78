"""The Open-i chest radiographs of Indiana University, in the three editions that circulate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from vlpbench.data.source import ImageRow, SourceRequest
from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench.registry import register_source
from vlpbench.sources.confined import confined
from vlpbench.sources.openi_kaggle import IMAGES, PROJECTIONS, REPORTS, VIEWS, list_kaggle
from vlpbench.sources.openi_listing import Choices, Listing
from vlpbench.sources.openi_nlm import find_reports, list_nlm
from vlpbench.sources.openi_r2gen import POSITIONS, TABLE, list_r2gen
from vlpbench.sources.release import Release

EDITIONS = ("nlm", "kaggle", "r2gen")


@register_source(
    "openi",
    title="Open-i / Indiana University chest radiographs with reports (IU X-ray)",
    licence="CC BY-NC-ND 4.0, as every report says",
    how="https://openi.nlm.nih.gov/faq (NLMCXR_reports.tgz, and NLMCXR_png.tgz or NLMCXR_dcm.tgz), or "
    "https://www.kaggle.com/datasets/raddar/chest-xrays-indiana-university, or the archive iu_xray.zip that "
    "https://github.com/cuhksz-nlp/R2Gen links to",
    tasks=("pre-training",),
    size="3,955 reports, 7,470 images; 14 GB as PNG on Kaggle",
    known=(
        "No edition names the patient: each report number (CXR1) is taken for one.",
        "XXXX stands for what de-identification took out, sometimes an ordinary word, as in 'x-XXXX'.",
        "The XML names no view, so the NLM edition keeps lateral images unless the option projections says which they "
        "are.",
        "R2Gen's edition has findings only; 274 of its 590 test reports stand word for word in its training part.",
        "104 of the 3,955 NLM reports have no image, and 28 have neither findings nor impression.",
    ),
    options={
        "folder": "folder of the release, relative to --src or --data (.)",
        "edition": "nlm (ecgen-radiology/*.xml), kaggle (indiana_reports.csv) or r2gen (annotation.json); auto takes "
        "the one that lies there (auto)",
        "views": "views to keep where they are known: frontal, lateral (['frontal'])",
        "projections": "for nlm: Kaggle's indiana_projections.csv, which names the view of nearly every image; none by "
        "default: every image is kept",
        "image": "for r2gen, which numbers the images of a report but names no view: both, first or second (both)",
        "deidentified": "drop or keep the placeholders XXXX (drop)",
    },
    version=1,
)
class OpenI(Release):
    """Findings and impression of each report with its images."""

    OPTIONS: ClassVar[Mapping[str, Any]] = {
        "edition": "auto",
        "views": ("frontal",),
        "projections": "",
        "image": "both",
        "deidentified": "drop",
    }

    def __init__(self, request: SourceRequest) -> None:
        """See `Release`."""
        super().__init__(request)
        # The rows themselves are not kept: the source is sent to other processes with every image.
        self._counts: dict[str, int] = {}

    def tables(self) -> Sequence[Path]:
        """Reports, and projections or split, of the edition.

        Raises:
            VlpbenchError: if the folder holds no edition, or several while none is chosen.
        """
        edition = self.edition()
        if edition == "nlm":
            chosen = self._projections()
            return [*find_reports(self.folder), *([] if chosen is None else [chosen])]
        if edition == "kaggle":
            return [self.find(*REPORTS), self.find(*PROJECTIONS)]
        return [self.find(TABLE)]

    def rows(self) -> Sequence[ImageRow]:
        """Every image of a report that is kept.

        Raises:
            BadInputError: listing every bad file, row and item.
        """
        listing = self._listing()
        self.refuse(listing.problems)
        self._counts = {name: count for name, count in listing.counts.items() if count}
        return listing.rows

    def counts(self) -> dict[str, int]:
        """Reports, images, and what was left out, by reason.

        Raises:
            BadInputError: as `rows`.
        """
        if not self._counts:
            self.rows()
        return dict(self._counts)

    def edition(self) -> str:
        """The edition that lies in the folder.

        Raises:
            UnknownNameError: for an edition that does not exist.
            VlpbenchError: for none, or for several without a choice.
        """
        asked = self._one_of("edition", ("auto", *EDITIONS))
        if asked != "auto":
            return asked
        tables = {"r2gen": (TABLE,), "kaggle": REPORTS}
        found = [name for name, files in tables.items() if any((self.folder / file).is_file() for file in files)]
        if find_reports(self.folder):
            found.append("nlm")
        if not found:
            raise self.wrong(f"expected ecgen-radiology/*.xml, {REPORTS[0]} or {TABLE}")
        if len(found) > 1:
            raise VlpbenchError(
                f"{self.folder} holds several editions: {', '.join(sorted(found))}. Choose one with the option edition."
            )
        return found[0]

    def _listing(self) -> Listing:
        edition, choices = self.edition(), self._choices()
        if edition == "nlm":
            reports = find_reports(self.folder)
            if not reports:
                raise self.wrong("expected ecgen-radiology/*.xml")
            return list_nlm(self.folder, reports, self._projections(), choices)
        if edition == "kaggle":
            images = self.find(*IMAGES)
            return list_kaggle(self.folder, self.find(*REPORTS), self.find(*PROJECTIONS), images, choices)
        return list_r2gen(self.folder, self.find(TABLE), self.find("images"), choices)

    def _choices(self) -> Choices:
        views = self.options["views"]
        asked = [views] if isinstance(views, str) else list(views)
        for view in asked:
            if view not in VIEWS:
                raise UnknownNameError("view of openi", str(view), VIEWS)
        return Choices(
            views=frozenset(asked),
            image=self._one_of("image", tuple(POSITIONS)),
            keep_placeholders=self._one_of("deidentified", ("drop", "keep")) == "keep",
        )

    def _one_of(self, option: str, values: tuple[str, ...]) -> str:
        value = str(self.options[option])
        if value not in values:
            raise UnknownNameError(f"value of the option {option}", value, values)
        return value

    def _projections(self) -> Path | None:
        name = str(self.options["projections"])
        if not name:
            return None
        path = confined(self.folder, name)
        if not path.is_file():
            raise VlpbenchError(f"No file at {path}, which the option projections names; expected {PROJECTIONS[0]}.")
        return path
