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
    given = request.data is not None
    where = f"below {request.data}" if given else "since no --data was given"
    place = "Put each into its folder there" if given else "Put each into a folder of that name, all of them in one"
    again = "run the same command again" + ("" if given else " with --data THAT_FOLDER")
    raise BadInputError(
        f"The suite {request.suite.name!r} lacks {len(lines)} of its {len(wanted)} datasets {where}:",
        lines,
        next_step=f"{place}, and {again}; --tasks takes only some of them. `vlpbench data list` shows licences, "
        "docs/data.md what must lie in each folder.",
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
        how, size, title = (card.how, card.size, card.title) if isinstance(card, SourceCard) else ("", "", data.title)
        # The corpus of a suite has no title of its own.
        head = f"{title if data.title == data.name else data.title} [folder {data.options.get('folder', '.')}]: "
        told = [f"{error}\n      get it: {how}" if request.data is not None else how, f"size: {size}" if size else ""]
        return head + "\n      ".join(filter(None, told))
    return None
