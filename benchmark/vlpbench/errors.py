"""The one exception that a user is meant to read."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class VlpbenchError(Exception):
    """A problem the user can mend: the message names the offender, what was expected and the next step."""

    exit_code = 1


class StoppedError(VlpbenchError):
    """The user stopped a run."""

    exit_code = 130


class NothingToShowError(VlpbenchError):
    """There is no record of what is to be shown; the message says what to run."""

    exit_code = 2


class UnavailableError(VlpbenchError):
    """Something from elsewhere, such as weights, cannot be had on this machine; the message says the ways out."""


class UnknownNameError(VlpbenchError):
    """A name that is not registered; the message shows its neighbours."""

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        """Word the message: near names when there are any, otherwise all of them."""
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        listed = f"Near: {', '.join(near)}." if near else f"Known: {', '.join(names) or 'none'}."
        super().__init__(f"No {kind} named {name!r}. {listed}{' ' + hint if hint else ''}")


class BadInputError(VlpbenchError):
    """Input data that breaks its contract; every problem found is listed at once."""

    def __init__(self, summary: str, problems: Iterable[str], *, next_step: str = "", shown: int = 20) -> None:
        """Join the summary, up to `shown` problems and the next step into one message."""
        self.problems = tuple(problems)
        lines = [summary, *(f"  - {problem}" for problem in self.problems[:shown])]
        if len(self.problems) > shown:
            lines.append(f"  … and {len(self.problems) - shown} more")
        if next_step:
            lines.append(next_step)
        super().__init__("\n".join(lines))
