"""Cards: what a registered method, task or data source says about itself, in plain data."""

from __future__ import annotations

from dataclasses import dataclass, field

EXTRA_SUPERVISION = {"instance labels": "†", "external knowledge": "‡"}


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
        needs: what a corpus must offer beyond image and report ("summaries", "triplets", "entities").
        supervision: extra supervision, a key of `EXTRA_SUPERVISION`, or "".
        architectures: short names the paper reports; others are allowed.
        losses: the terms that `loss` returns, in the paper's words.
        published: row name in the published tables, or "".
        deviations: what differs from the paper, each with its reason.
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
    deviations: tuple[str, ...] = ()
    version: int = 1

    @property
    def mark(self) -> str:
        """The paper's sign for extra supervision: † instance labels, ‡ external knowledge."""
        return EXTRA_SUPERVISION.get(self.supervision, "")

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
        options: option names with what each means.
        version: raised whenever prepared pixels or labels may change; part of every fingerprint.
    """

    name: str
    title: str = ""
    licence: str = ""
    how: str = ""
    options: dict[str, str] = field(default_factory=dict)
    version: int = 1


Card = MethodCard | TaskCard | SourceCard
