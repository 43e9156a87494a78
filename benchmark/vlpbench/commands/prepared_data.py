"""Finding and making prepared folders for the `vlpbench data` commands."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from vlpbench.cards import SourceCard
from vlpbench.data.prepared import Prepared
from vlpbench.data.source import SourceRequest
from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench.registry import REGISTRY
from vlpbench.suite import DataSpec, Suite, load_suite

HASH_LENGTH = 16


def source_card(name: str) -> SourceCard:
    """Card of a registered source.

    Raises:
        UnknownNameError: if there is none of that name.
    """
    card = REGISTRY.card("source", name)
    if not isinstance(card, SourceCard):
        raise TypeError(f"{name} has no source card")
    return card


def data_spec(name: str, suite: Suite) -> DataSpec:
    """What to prepare for a name: the suite's own entry where it has one, else the source with its defaults.

    Raises:
        UnknownNameError: if the name is neither in the suite nor a registered source.
    """
    entries = {"corpus": suite.corpus, **suite.datasets}
    if name in entries:
        return entries[name]
    for entry in entries.values():
        if entry.source == name:
            return entry
    if name in REGISTRY.names("source"):
        return DataSpec(name, source_card(name).title, name)
    raise UnknownNameError("dataset", name, [*entries, *REGISTRY.names("source")], "`vlpbench data list` shows all.")


def prepare_request(
    name: str, *, suite: str, folder: Path | None, size: int | None, settings: Mapping[str, Any]
) -> SourceRequest:
    """What `vlpbench data prepare` asks of a source.

    Args:
        name: of a dataset of the suite, or of a source.
        suite: whose options, split shares and image size are taken, so that `vlpbench run` finds the same folder.
        folder: of the release; of suites whose datasets lie in folders of their own, the folder around these.
        size: side of the prepared square, pixels; None for the suite's.
        settings: options put over the suite's.
    """
    loaded = load_suite(suite)
    spec = data_spec(name, loaded)
    options = {**spec.options, **settings}
    # --src names the release itself; a suite says where it lies below --data.
    if folder is not None and "folder" in options and not (folder / str(options["folder"])).is_dir():
        options["folder"] = "."
    return SourceRequest(replace(spec, options=options), folder, size if size is not None else loaded.image_size)


def prepared_folders(name: str, work: Path) -> list[Prepared]:
    """Prepared folders of a name, newest first."""
    found = [
        folder
        for folder in (work / "prepared").glob(f"{name}-*")
        if (folder / "prepared.json").is_file() and len(folder.name) == len(name) + 1 + HASH_LENGTH
    ]
    return [Prepared(folder) for folder in sorted(found, key=lambda one: one.stat().st_mtime, reverse=True)]


def newest_prepared(name: str, work: Path) -> Prepared:
    """The newest prepared folder of a name.

    Raises:
        VlpbenchError: if there is none, with the names there are and the command that makes one.
    """
    found = prepared_folders(name, work)
    if found:
        return found[0]
    there = sorted({path.parent.name[: -HASH_LENGTH - 1] for path in (work / "prepared").glob("*/prepared.json")})
    raise VlpbenchError(
        f"No prepared data named {name!r} under {work / 'prepared'}; found there: {', '.join(there) or 'nothing'}. "
        f"Make it with: vlpbench data prepare {name} --src FOLDER"
    )


def note_others(prepared: Prepared, name: str, work: Path, console: Console) -> None:
    """Say that a name has been prepared in other ways too, where it has."""
    others = [one for one in prepared_folders(name, work) if one.folder != prepared.folder]
    if others:
        listed = ", ".join(f"{one.folder.name} at {one.facts['image_size']} px" for one in others)
        text = f"the newest at {prepared.facts['image_size']} px; also prepared: {listed}"
        console.print(f"  {text}", style="dim", highlight=False, markup=False)


def parse_options(texts: tuple[str, ...]) -> dict[str, Any]:
    """Source options from "name=value"; values are JSON, or text where they are not.

    Raises:
        VlpbenchError: for text without an equals sign.
    """
    options: dict[str, Any] = {}
    for text in texts:
        name, sign, word = text.partition("=")
        if not sign:
            raise VlpbenchError(f"--set takes option=value, such as --set views='[\"PA\"]'; got {text!r}.")
        try:
            options[name] = json.loads(word)
        except ValueError:
            options[name] = word
    return options
