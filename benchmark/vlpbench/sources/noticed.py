"""What a release says otherwise than described, where it need not be refused."""

from __future__ import annotations

from collections import Counter

SHOWN = 5


class Noticed:
    """Oddities by kind: all are counted, the first few of each kind are kept as examples."""

    def __init__(self) -> None:
        """Nothing noticed yet."""
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, list[str]] = {}

    def add(self, kind: str, example: str) -> None:
        """Count one.

        Args:
            kind: file, what is odd about it and what was done, such as "table.csv: rows without a patient, left out".
            example: the offender, such as "row 3".
        """
        self._counts[kind] += 1
        examples = self._examples.setdefault(kind, [])
        if len(examples) < SHOWN:
            examples.append(example)

    def lines(self) -> list[str]:
        """A line for each kind, in the order in which they came up."""
        found = []
        for kind, count in self._counts.items():
            listed = ", ".join(self._examples[kind])
            found.append(f"{kind}: {count:,} ({listed}{', …' if count > SHOWN else ''})")
        return found
