"""What a `table` folder says of its reports: cells of triplets and of entities, and the descriptions CSV."""

from __future__ import annotations

from pathlib import Path

from vlpbench.data.source import Triplet
from vlpbench.sources.csv_file import lines, read_csv

COLUMNS = ("name", "description")
BETWEEN, WITHIN = ";", "|"
NOTHING = "none"
PRESENCE = {"present": True, "absent": False}
ANOTHER_WAY = f"{BETWEEN!r} in between, {NOTHING!r} where the report says nothing, or blank for unknown"


def read_triplets(cell: str, *, where: str, problems: list[str]) -> tuple[Triplet, ...] | None:
    """Triplets of a cell such as "effusion|left lung|present; pneumothorax|right lung|absent"; None for unknown.

    Args:
        cell: text of the cell.
        where: file, row and column, for the problems.
        problems: list that bad triplets are added to.
    """
    parts = _parts(cell)
    found: list[Triplet] = []
    for part in parts if parts is not None else ():
        fields = [field.strip() for field in part.split(WITHIN)]
        if len(fields) == 3 and all(fields) and fields[2] in PRESENCE:
            found.append(Triplet(fields[0], fields[1], PRESENCE[fields[2]]))
        else:
            problems.append(
                f"{where} holds {part!r}; expected entity|position|present or entity|position|absent, {ANOTHER_WAY}"
            )
    return None if parts is None else tuple(dict.fromkeys(found))


def read_entities(cell: str, *, where: str, problems: list[str]) -> tuple[str, ...] | None:
    """Entities of a cell such as "effusion; cardiomegaly"; None for unknown.

    Args:
        cell: text of the cell.
        where: file, row and column, for the problems.
        problems: list that bad names are added to.
    """
    parts = _parts(cell)
    if parts is None:
        return None
    problems.extend(
        f"{where} holds {part!r} among {cell!r}; expected names, {ANOTHER_WAY}"
        for part in parts
        if not part or part.casefold() == NOTHING
    )
    return tuple(dict.fromkeys(parts))


def read_descriptions(path: Path, *, problems: list[str]) -> dict[str, str]:
    """Descriptions by name.

    Args:
        path: CSV with columns name and description.
        problems: list that bad rows are added to.

    Raises:
        VlpbenchError: if the file is unreadable or lacks a column.
    """
    found: dict[str, str] = {}
    for line, entry in lines(read_csv(path, columns=COLUMNS)):
        where = f"{path.name} row {line}"
        name, description = (entry[column] for column in COLUMNS)
        if not name:
            problems.append(f"{where}: the name is blank")
        elif not description:
            problems.append(f"{where}: the description of {name!r} is blank; give a sentence, or leave out the row")
        elif name in found:
            problems.append(f"{where}: {name!r} stands in an earlier row too")
        else:
            found[name] = description
    return found


def _parts(cell: str) -> list[str] | None:
    """Entries of a cell; none where it says nothing, None where it is blank."""
    if not cell:
        return None
    return [] if cell.casefold() == NOTHING else [part.strip() for part in cell.split(BETWEEN)]
