"""Running all checks of a method, and what came of each."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeVar

from vlpbench.contract.checks import METHOD_CHECKS
from vlpbench.contract.initialisations import INITIALISATION_CHECKS
from vlpbench.errors import UnavailableError, VlpbenchError
from vlpbench.method import Initialisation, Method

State = Literal["passed", "failed", "not available here"]
Kind = TypeVar("Kind", bound=type)


@dataclass(frozen=True)
class Verdict:
    """What came of a check.

    Attributes:
        check: its name.
        state: of the method; "not available here" where weights from elsewhere cannot be had on this machine.
        reason: why it did not pass, "" where it did.
    """

    check: str
    state: State
    reason: str = ""


def try_method(kind: type, arch: str) -> Iterator[Verdict]:
    """Run every check, one after the other; a check that fails keeps none of the others from running.

    Args:
        kind: registered class.
        arch: of the backbone.

    Raises:
        VlpbenchError: if the class is neither a Method nor an Initialisation.
    """
    if issubclass(kind, Method):
        for name, check in METHOD_CHECKS.items():
            yield _verdict(name, check, kind, arch)
    elif issubclass(kind, Initialisation):
        for name, start in INITIALISATION_CHECKS.items():
            yield _verdict(name, start, kind, arch)
    else:
        raise VlpbenchError(
            f"{kind.__name__} ({kind.__module__}) is neither a vlpbench.method.Method nor an Initialisation: derive it "
            "from one of them."
        )


def _verdict(name: str, check: Callable[[Kind, str], None], kind: Kind, arch: str) -> Verdict:
    try:
        check(kind, arch)
    except UnavailableError as error:
        return Verdict(name, "not available here", str(error))
    except VlpbenchError as error:
        return Verdict(name, "failed", str(error))
    except Exception as error:  # whatever a method raises is a verdict on it, and the other checks still run
        text = str(error).strip().split("\n")[0]
        return Verdict(name, "failed", f"{type(error).__name__}: {text} ({_place(error, kind)})")
    return Verdict(name, "passed")


def _place(error: Exception, kind: type) -> str:
    """File and line where it happened: the innermost in the method's own file, if any is there."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename == inspect.getfile(kind)]
    frame = own[-1] if own else frames[-1]
    return f"{frame.filename}:{frame.lineno}"
