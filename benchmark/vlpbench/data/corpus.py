"""Image-report pairs for pre-training."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float32, Int, Int8, UInt8

from vlpbench.canonical import content_hash
from vlpbench.cards import NEEDS
from vlpbench.data.knowledge import PairKnowledge
from vlpbench.data.prepared import Prepared
from vlpbench.errors import UnknownNameError, VlpbenchError

MINIMUM_WORDS = 3
WORD = re.compile(r"\w+")
SENTENCE_END = re.compile(r"(?<=[.!?;])\s+")
SECTION = re.compile(r"\b(FINDINGS|IMPRESSION)\s*:", re.IGNORECASE)
COLUMNS = {
    "labels": "the columns of its options `labels` and `classes`",
    "triplets": "the column of its option `triplets`",
    "entities": "the column of its option `entities`",
}
"""What is known only where a corpus says so, and where a table source takes it from."""


@dataclass(frozen=True)
class Corpus:
    """Pairs of a prepared folder: rows whose report has at least three words.

    The minimum is that of MGCA's preprocessing (mgca/datasets/pretrain_dataset.py:70-158), which SISTA follows.

    Attributes:
        prepared: the folder.
        limit: cap on pairs per split, None for all.
        written: summaries by study that were written for this corpus; they outrank its own.
        summary_origin: who wrote them.
    """

    prepared: Prepared
    limit: int | None = None
    written: Mapping[str, str] = field(default_factory=dict)
    summary_origin: str = ""

    @cached_property
    def _usable(self) -> np.ndarray:
        return np.array([len(WORD.findall(text)) >= MINIMUM_WORDS for text in self.prepared.manifest["report"]])

    @cached_property
    def counts(self) -> dict[str, int]:
        """Images, blank and too short reports that were skipped, and pairs that remain per split."""
        texts = self.prepared.manifest["report"]
        blank = int((texts.str.strip() == "").sum())
        return {
            "images": len(texts),
            "blank reports": blank,
            "reports under three words": int((~self._usable).sum()) - blank,
            "train pairs": len(self.rows("train")),
            "val pairs": len(self.rows("val")),
        }

    def rows(self, split: str) -> Int[np.ndarray, " n"]:
        """Usable rows of a split, as rows of the prepared manifest."""
        names = self.prepared.manifest["split"].to_numpy()
        return np.flatnonzero(self._usable & (names == split))[: self.limit]

    def require_pairs(self) -> None:
        """Refuse a corpus that cannot be trained on.

        Raises:
            VlpbenchError: with the counts of what was skipped, if train has fewer than two pairs or val none.
        """
        if len(self.rows("train")) < 2 or len(self.rows("val")) < 1:
            listed = ", ".join(f"{count} {name}" for name, count in self.counts.items())
            raise VlpbenchError(f"The corpus has too few image-report pairs to pre-train on: {listed}.")

    @cached_property
    def fingerprint(self) -> str:
        """Content hash of the pairs and their splits."""
        ids = self.prepared.manifest["image_id"].to_numpy()
        rows = {split: ids[self.rows(split)].tolist() for split in ("train", "val")}
        content: dict[str, object] = {"prepared": self.prepared.fingerprint, "rows": rows}
        if self.written:
            content["summaries"] = {split: self.summaries(self.rows(split)) for split in ("train", "val")}
        return content_hash(content, 32)

    def study_reports(self) -> dict[str, str]:
        """The report of every study that has a usable one, as the source tells it."""
        usable = self.prepared.manifest[self._usable]
        return dict(zip(usable["study"].astype(str), usable["report"].astype(str), strict=True))

    def images(self, rows: Int[np.ndarray, " n"]) -> UInt8[np.ndarray, "n size size"]:
        """Grey pixels of the given rows."""
        return np.ascontiguousarray(self.prepared.images[rows])

    def reports(self, rows: Int[np.ndarray, " n"]) -> list[str]:
        """Report texts of the given rows, section headings removed."""
        return [plain_text(text) for text in self.prepared.manifest["report"].to_numpy()[rows]]

    def summaries(self, rows: Int[np.ndarray, " n"]) -> list[str]:
        """A shorter wording of each report: what was written for it, else the corpus' own, else one without a model.

        The last is the impression, or the sentences in reverse order where there is none.

        SISTA writes its summaries with a language model it does not name; where the corpus has none, this is
        the stand-in without any model (a deviation that the lineage of the backbone records).
        """
        manifest = self.prepared.manifest
        given, reports = manifest["summary"].to_numpy()[rows], manifest["report"].to_numpy()[rows]
        if self.written:
            studies = manifest["study"].astype(str).to_numpy()[rows]
            given = [self.written.get(study, "") for study in studies]
        return [
            plain_text(summary) if summary.strip() else reworded(report)
            for summary, report in zip(given, reports, strict=True)
        ]

    @cached_property
    def summary_kind(self) -> str:
        """Where summaries come from, for the lineage."""
        if self.written:
            studies = self.study_reports()
            missing = len(studies.keys() - self.written.keys())
            return self.summary_origin + (f"; {missing} of {len(studies)} studies have none" if missing else "")
        given = self.prepared.manifest["summary"].str.strip() != ""
        if given[self._usable].all():
            return "given by the corpus"
        return "impression, else sentences in reverse order" if not given.any() else "given by the corpus in part"

    @cached_property
    def _knowledge(self) -> PairKnowledge:
        return PairKnowledge(self.prepared.manifest, self.rows("train"))

    @cached_property
    def offers(self) -> frozenset[str]:
        """What batches can hold beyond images and reports, keys of `NEEDS`; decided by the training pairs."""
        known = self._knowledge
        carried = {"labels": known.label_names, "triplets": known.triplet_entities, "entities": known.entity_names}
        return frozenset(need for need in NEEDS if carried.get(need, True))

    def lacks(self, need: str) -> str | None:
        """What to tell the user whose method needs what the corpus does not offer; None where it does.

        Raises:
            UnknownNameError: for anything but a key of `NEEDS`.
        """
        if need not in NEEDS:
            raise UnknownNameError("need of a method", need, NEEDS)
        # What every corpus offers is answered without reading through its triplets and labels.
        if need not in COLUMNS or need in self.offers:
            return None
        return (
            f"needs {need} ({NEEDS[need]}), which no training pair of the corpus carries; "
            f"a table source takes them from {COLUMNS[need]}: docs/data.md"
        )

    @property
    def label_names(self) -> tuple[str, ...]:
        """Labels that some training pair has, sorted; so are the other vocabularies."""
        return self._knowledge.label_names

    @property
    def triplet_entities(self) -> tuple[str, ...]:
        """Entities of the training pairs' triplets."""
        return self._knowledge.triplet_entities

    @property
    def positions(self) -> tuple[str, ...]:
        """Positions of the training pairs' triplets."""
        return self._knowledge.positions

    @property
    def entity_names(self) -> tuple[str, ...]:
        """Entities that the training pairs' reports mention."""
        return self._knowledge.entity_names

    @property
    def descriptions(self) -> Mapping[str, str]:
        """A sentence on each entity that has one, by name."""
        return self.prepared.descriptions

    def labels(self, rows: Int[np.ndarray, " n"]) -> Float32[np.ndarray, "n labels"]:
        """0, 1, or NaN where unknown."""
        return self._knowledge.labels(rows)

    def triplets(self, rows: Int[np.ndarray, " n"]) -> Int8[np.ndarray, "n entities positions"]:
        """1 present, 0 absent, -1 not mentioned; 1 where a report says both."""
        return self._knowledge.triplets(rows)

    def entities(self, rows: Int[np.ndarray, " n"]) -> Bool[np.ndarray, "n entities"]:
        """Whether each report mentions each of `entity_names`; nothing where that is unknown."""
        return self._knowledge.entities(rows)


def plain_text(report: str) -> str:
    """One line, section headings removed."""
    return " ".join(SECTION.sub(" ", report).split())


def reworded(report: str) -> str:
    """The impression where findings stand beside it, else the sentences in reverse order."""
    parts = SECTION.split(report)
    sections = {name.lower(): " ".join(text.split()) for name, text in zip(parts[1::2], parts[2::2], strict=True)}
    if sections.get("findings") and sections.get("impression"):
        return sections["impression"]
    return " ".join(reversed([sentence for sentence in SENTENCE_END.split(plain_text(report)) if sentence]))
