"""What data a request lacks, all of it at once."""

from __future__ import annotations

from vlpbench.cards import SourceCard
from vlpbench.data.prepared import open_source
from vlpbench.data.source import SourceRequest
from vlpbench.errors import BadInputError, UnknownNameError, VlpbenchError
from vlpbench.plan import Request
from vlpbench.registry import REGISTRY
from vlpbench.suite import DataSpec


def require_data(request: Request) -> None:
    """Refuse a request whose data is not there, before anything is computed.

    Raises:
        BadInputError: a line per dataset that is missing, with the way to it.
    """
    wanted = request.wanted_data()
    lines = [line for data in wanted.values() if (line := _missing(data, request)) is not None]
    if not lines:
        return
    where = f"below {request.data}" if request.data is not None else "since no --data was given"
    raise BadInputError(
        f"The suite {request.suite.name!r} lacks {len(lines)} of its {len(wanted)} datasets {where}:",
        lines,
        next_step="Put each into its folder and run the same command again; --tasks takes only some of them, and "
        "`vlpbench data list` shows licences and sizes.",
        shown=len(lines),
    )


def _missing(data: DataSpec, request: Request) -> str | None:
    """Why one dataset cannot be read, and how to get it; None where it can."""
    try:
        open_source(SourceRequest(data, request.data, request.image_size)).require()
    except UnknownNameError:
        raise
    except VlpbenchError as error:
        card = REGISTRY.card("source", data.source)
        how = card.how if isinstance(card, SourceCard) else ""
        size = f" ({card.size})" if isinstance(card, SourceCard) and card.size else ""
        folder = str(data.options.get("folder", "."))
        reason = f"{error}\n      get it: " if request.data is not None else ""
        return f"{data.title} [folder {folder}]: {reason}{how}{size}"
    return None
