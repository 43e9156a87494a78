"""The contract of what writes summaries, and the one that needs no model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vlpbench.data.corpus import reworded


@dataclass(frozen=True)
class Answer:
    """What a writer made of one report.

    Attributes:
        summary: one line; "" where the model said nothing.
        cut: whether it ended for want of room and not by itself.
        served: the model as its server calls it, "" where nobody says.
    """

    summary: str
    cut: bool = False
    served: str = ""


@dataclass(frozen=True)
class Failure:
    """Why there is no summary of one report.

    Attributes:
        reason: for the user.
        fatal: whether every other report would fail alike, so that going on is no use.
    """

    reason: str
    fatal: bool = False


class Writer(ABC):
    """Writes summaries, a batch of reports at a time.

    Attributes:
        way: "impression", "hf" or "openai".
        model: the model's name, "" where there is none.
        prompt: what the model is asked, "" where there is none.
    """

    way: str
    model: str
    prompt: str

    @property
    @abstractmethod
    def identity(self) -> Mapping[str, object]:
        """All that the summaries depend on besides prompt and reports, in plain data: model, version and settings."""

    @property
    def facts(self) -> Mapping[str, object]:
        """What else a reader of the summaries may ask, known once some are written; nothing by default."""
        return {}

    @abstractmethod
    def write(self, reports: Sequence[str]) -> list[Answer | Failure]:
        """One answer or failure per report, in their order.

        Raises:
            VlpbenchError: if the writer itself cannot be had.
        """


class ImpressionWriter(Writer):
    """The impression section, else the sentences in reverse order: what a corpus without summaries falls back to."""

    way = "impression"
    model = ""
    prompt = ""

    @property
    def identity(self) -> Mapping[str, object]:
        """Nothing but itself."""
        return {"way": self.way}

    def write(self, reports: Sequence[str]) -> list[Answer | Failure]:
        """Reword each report without a model."""
        return [Answer(reworded(report)) for report in reports]
