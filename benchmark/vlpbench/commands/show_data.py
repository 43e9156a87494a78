"""`vlpbench data show`: a contact sheet of a prepared dataset."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from vlpbench.canonical import atomic_path
from vlpbench.commands.prepared_data import newest_prepared, note_others
from vlpbench.errors import UnknownNameError, VlpbenchError

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".webp": "WEBP"}
PARTS = ("train", "val", "test")


def show_data(name: str, *, count: int, out: Path, seed: int, split: str, work: Path) -> None:
    """Draw a sample of a prepared dataset into an image file.

    Args:
        name: of prepared data.
        count: images wanted.
        out: .png, .jpg or .webp.
        seed: of the draw.
        split: one part only, "" for all.
        work: folder of prepared data.

    Raises:
        UnknownNameError: for another part or file format.
        VlpbenchError: if there is no such data, or no image in the part.
    """
    from vlpbench.data.contact_sheet import choose_rows, draw_sheet

    if split and split not in PARTS:
        raise UnknownNameError("part of the split", split, PARTS)
    if out.suffix.lower() not in FORMATS:
        raise UnknownNameError("format of a contact sheet", out.suffix, FORMATS)
    prepared = newest_prepared(name, work)
    rows = choose_rows(prepared, count, seed=seed, split=split)
    if len(rows) == 0:
        raise VlpbenchError(f"{prepared.folder} has no image{f' in {split}' if split else ''} to show.")
    with atomic_path(out) as temporary:
        draw_sheet(prepared, rows).save(temporary, FORMATS[out.suffix.lower()])
    console = Console(soft_wrap=True)
    drawn = f"{out}: {len(rows)} of {len(prepared.manifest):,} images of {prepared.folder.name}, drawn with seed {seed}"
    console.print(drawn, highlight=False, markup=False)
    note_others(prepared, name, work, console)
