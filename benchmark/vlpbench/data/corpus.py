"""Image-report pairs for pre-training."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int, UInt8

from vlpbench.canonical import content_hash
from vlpbench.data.prepared import Prepared
from vlpbench.errors import VlpbenchError

MINIMUM_WORDS = 3
WORD = re.compile(r"\w+")
SENTENCE_END = re.compile(r"(?<=[.!?;])\s+")
SECTION = re.compile(r"\b(FINDINGS|IMPRESSION)\s*:", re.IGNORECASE)


@dataclass(frozen=True)
class Corpus:
    """Pairs of a prepared folder: rows whose report has at least three words.

    The minimum is that of MGCA's preprocessing (mgca/datasets/pretrain_dataset.py:70-158), which SISTA follows.

    Attributes:
        prepared: the folder.
        limit: cap on pairs per split, None for all.
    """

    prepared: Prepared
    limit: int | None = None

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
        return content_hash({"prepared": self.prepared.fingerprint, "rows": rows}, 32)

    def images(self, rows: Int[np.ndarray, " n"]) -> UInt8[np.ndarray, "n size size"]:
        """Grey pixels of the given rows."""
        return np.ascontiguousarray(self.prepared.images[rows])

    def reports(self, rows: Int[np.ndarray, " n"]) -> list[str]:
        """Report texts of the given rows, section headings removed."""
        return [plain_text(text) for text in self.prepared.manifest["report"].to_numpy()[rows]]

    def summaries(self, rows: Int[np.ndarray, " n"]) -> list[str]:
        """A shorter wording of each report: the corpus' own, else the impression, else the sentences in reverse order.

        SISTA writes its summaries with a language model it does not name; where the corpus has none, this is the
        stand-in
        without any model (a deviation that the lineage of the backbone records).
        """
        manifest = self.prepared.manifest
        given, reports = manifest["summary"].to_numpy()[rows], manifest["report"].to_numpy()[rows]
        return [
            plain_text(summary) if summary.strip() else reworded(report)
            for summary, report in zip(given, reports, strict=True)
        ]

    @cached_property
    def summary_kind(self) -> str:
        """Where summaries come from, for the lineage."""
        given = self.prepared.manifest["summary"].str.strip() != ""
        if given[self._usable].all():
            return "given by the corpus"
        return "impression, else sentences in reverse order" if not given.any() else "given by the corpus in part"


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
