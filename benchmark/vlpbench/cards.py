"""Cards: what a registered method, task or data source says about itself, in plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

EXTRA_SUPERVISION = {"instance labels": "†", "external knowledge": "‡"}
APPROXIMATE = "≈"
NEEDS = {
    "summaries": "a shorter wording of each report; the corpus' own, or made from the report without a model",
    "labels": "labels of the images, NaN where unknown",
    "triplets": "what the report says of each entity at each position: present, absent or nothing",
    "entities": "which entities of a knowledge source the report mentions",
    "text similarity": "how alike reports are to a frozen text encoder that never sees an image",
}


@dataclass(frozen=True)
class MethodCard:
    """One pre-training method.

    Attributes:
        name: key in the registry and in every record.
        title: name as printed in a table row.
        venue: where it was published, "-" for a baseline.
        paper: public address of the paper.
        licence: licence of this implementation's source ideas (the released code), or "none found".
        trains: False for methods that only initialise a backbone.
        needs: what a corpus must offer beyond image and report, keys of `NEEDS`.
        supervision: extra supervision, a key of `EXTRA_SUPERVISION`, or "".
        architectures: short names the paper reports; others are allowed.
        losses: the terms that `loss` returns, in the paper's words.
        published: row name in the published tables, or "".
        recipe: settings of the paper's own recipe that differ from the defaults of `Recipe`; a suite or user may put
            theirs over them.
        deviations: what differs from the paper or its released code, each with its reason.
        approximate: True where paper and code leave out so much that the numbers stand for the idea only.
        choices: what was ours to choose in an approximate method.
        variant_of: name of the method this is an ablation of, "" for none; such rows stand in the ablation table.
        version: raised whenever the method's numbers may change; part of every key.
    """

    name: str
    title: str = ""
    venue: str = "-"
    paper: str = ""
    licence: str = ""
    trains: bool = True
    needs: tuple[str, ...] = ()
    supervision: str = ""
    architectures: tuple[str, ...] = ("resnet50",)
    losses: tuple[str, ...] = ()
    published: str = ""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    deviations: tuple[str, ...] = ()
    approximate: bool = False
    choices: tuple[str, ...] = ()
    variant_of: str = ""
    version: int = 1

    @property
    def mark(self) -> str:
        """The paper's sign for extra supervision, † or ‡, and ≈ for an approximate method."""
        return EXTRA_SUPERVISION.get(self.supervision, "") + (APPROXIMATE if self.approximate else "")

    @property
    def row_title(self) -> str:
        """Name as printed in a table row."""
        return (self.title or self.name) + self.mark


@dataclass(frozen=True)
class TaskCard:
    """One evaluation task.

    Attributes:
        name: key in the registry and in every record.
        title: name as printed.
        summary: one line on head and training.
        metrics: metric names with what each means, the protocol picks the headline.
        version: raised whenever the task's numbers may change; part of every key.
    """

    name: str
    title: str = ""
    summary: str = ""
    metrics: dict[str, str] = field(default_factory=dict)
    version: int = 1


@dataclass(frozen=True)
class SourceCard:
    """One way to come by image data.

    Attributes:
        name: key in the registry.
        title: what it is, in one line.
        licence: licence of the data.
        how: how a user gets it.
        tasks: what it serves: "pre-training", "classification", "segmentation", "detection".
        size: of the download, as its page says it.
        third_parties: False where the licence forbids showing reports to anybody else, such as a hosted model.
        known: what is known to be wrong with it, a sentence each.
        options: option names with what each means.
        version: raised whenever prepared pixels or labels may change; part of every fingerprint.
    """

    name: str
    title: str = ""
    licence: str = ""
    how: str = ""
    tasks: tuple[str, ...] = ()
    size: str = ""
    third_parties: bool = True
    known: tuple[str, ...] = ()
    options: dict[str, str] = field(default_factory=dict)
    version: int = 1


Card = MethodCard | TaskCard | SourceCard
