"""A contact sheet of prepared images with boxes and masks drawn, to look at."""

from __future__ import annotations

import json
from collections.abc import Sequence
from textwrap import shorten

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image, ImageDraw, ImageFont

from vlpbench.data.prepared import Prepared
from vlpbench.data.source import IGNORED

TILE = 256
MARGIN = 8
LINE = 16
CAPTION_LINES = 3
BACKGROUND, INK, FAINT = (18, 18, 18), (235, 235, 235), (160, 160, 160)
MASK_COLOUR, IGNORED_COLOUR = (0, 158, 115), (120, 120, 120)
BOX_COLOURS = ((230, 159, 0), (86, 180, 233), (240, 228, 66), (204, 121, 167), (213, 94, 0))
"""Told apart by readers with any kind of colour vision (Okabe and Ito 2008)."""
TINT = 0.35


def choose_rows(prepared: Prepared, count: int, *, seed: int, split: str) -> Int[np.ndarray, " chosen"]:
    """A drawn sample, half of it from images with a box or a foreground mask where there are any, in manifest order.

    Args:
        prepared: the folder.
        count: images wanted; all there are where they are fewer.
        seed: of the draw.
        split: "train", "val" or "test" to draw from one part only, "" for all.
    """
    manifest = prepared.manifest
    rows = np.flatnonzero(manifest["split"] == split) if split else np.arange(len(manifest))
    order = np.random.default_rng(seed).permutation(rows)
    # Reading every mask of a large set to find the positives takes long; the drawn ones decide.
    looked = order[: 20 * count]
    shown = np.array([_is_marked(prepared, row) for row in looked], dtype=bool)
    marked, plain = looked[shown], np.concatenate([looked[~shown], order[20 * count :]])
    half = max((count + 1) // 2, count - len(plain))
    return np.sort(np.concatenate([marked[:half], plain[: count - min(half, len(marked))]]))


def draw_sheet(prepared: Prepared, rows: Sequence[int] | Int[np.ndarray, " n"], *, columns: int = 4) -> Image.Image:
    """One tile per row: the image, its mask outlined and tinted, its boxes, and id, split and labels below."""
    columns = max(1, min(columns, len(rows)))
    height = TILE + CAPTION_LINES * LINE + MARGIN
    lines = -(-len(rows) // columns)
    legend = _legend(prepared, rows)
    sheet = Image.new("RGB", (columns * (TILE + MARGIN) + MARGIN, lines * height + 2 * MARGIN + LINE), BACKGROUND)
    for number, row in enumerate(rows):
        corner = MARGIN + (number % columns) * (TILE + MARGIN), MARGIN + (number // columns) * height
        sheet.paste(_tile(prepared, int(row), legend), corner)
        _write_caption(sheet, prepared, int(row), (corner[0], corner[1] + TILE + 2))
    _write_legend(sheet, prepared, rows, legend, (MARGIN, lines * height + MARGIN))
    return sheet


def _is_marked(prepared: Prepared, row: int) -> bool:
    """Whether an image has a box or a foreground pixel."""
    entry = prepared.manifest.iloc[row]
    if entry["boxes"] != "[]":
        return True
    mask_row = int(entry["mask_row"])
    return mask_row >= 0 and bool((prepared.masks[mask_row] == 1).any())


def _legend(prepared: Prepared, rows: Sequence[int] | Int[np.ndarray, " n"]) -> dict[str, tuple[int, int, int]]:
    """A colour for each box label, most frequent labels first; further labels share the last colour."""
    labels = [box["label"] for row in rows for box in json.loads(prepared.manifest["boxes"].iloc[int(row)])]
    ordered = sorted(set(labels), key=lambda label: (-labels.count(label), label))
    return {label: BOX_COLOURS[min(place, len(BOX_COLOURS) - 1)] for place, label in enumerate(ordered)}


def _tile(prepared: Prepared, row: int, legend: dict[str, tuple[int, int, int]]) -> Image.Image:
    entry = prepared.manifest.iloc[row]
    pixels = np.repeat(np.asarray(prepared.images[row])[:, :, None], 3, axis=2)
    mask_row = int(entry["mask_row"])
    if mask_row >= 0:
        pixels = _tinted(pixels, np.asarray(prepared.masks[mask_row]))
    tile = Image.fromarray(pixels).resize((TILE, TILE), Image.Resampling.BILINEAR)
    scale = TILE / prepared.images.shape[1]
    drawing = ImageDraw.Draw(tile)
    for box in json.loads(entry["boxes"]):
        corners = box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]
        drawing.rectangle([value * scale for value in corners], outline=legend[box["label"]], width=2)
    return tile


def _tinted(pixels: UInt8[np.ndarray, "h w 3"], mask: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """Foreground tinted with a solid outline, so that what lies under it can still be judged."""
    mixed = pixels.astype(np.float32)
    for value, colour in ((1, MASK_COLOUR), (IGNORED, IGNORED_COLOUR)):
        inside = mask == value
        mixed[inside] = (1 - TINT) * mixed[inside] + TINT * np.asarray(colour, dtype=np.float32)
        core = inside.copy()
        for axis in (0, 1):
            core &= np.roll(inside, 1, axis) & np.roll(inside, -1, axis)
        mixed[inside & ~core] = colour
    return mixed.round().astype(np.uint8)


def _write_caption(sheet: Image.Image, prepared: Prepared, row: int, corner: tuple[int, int]) -> None:
    """Image id with split, labels that are present, and the first words of the report."""
    entry = prepared.manifest.iloc[row]
    labels = [str(name).removeprefix("label:") for name in prepared.manifest.columns if str(name).startswith("label:")]
    present = [label for label in labels if entry[f"label:{label}"] == 1]
    unknown = sum(bool(np.isnan(entry[f"label:{label}"])) for label in labels)
    told = ", ".join(present) if present else "no label present" if labels and unknown < len(labels) else ""
    if int(entry["mask_row"]) < 0 and (prepared.manifest["mask_row"] >= 0).any():
        told = f"{told}; no mask given" if told else "no mask given"
    texts = (f"{entry['image_id']} [{entry['split']}]", told, " ".join(str(entry["report"]).split()))
    drawing, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=12)
    for number, (text, colour) in enumerate(zip(texts, (INK, INK, FAINT), strict=True)):
        drawing.text((corner[0], corner[1] + number * LINE), _fitted(text, font), fill=colour, font=font)


def _fitted(text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> str:
    """A text that is no wider than a tile; long ids keep their end, which tells them apart."""
    if font.getlength(text) <= TILE:
        return text
    if " " not in text.split(" [", maxsplit=1)[0]:
        while font.getlength("…" + text) > TILE:
            text = text[1:]
        return "…" + text
    width = len(text)
    while font.getlength(text) > TILE and width > 8:
        width -= 1
        text = shorten(text, width, placeholder="…")
    return text


def _write_legend(
    sheet: Image.Image,
    prepared: Prepared,
    rows: Sequence[int] | Int[np.ndarray, " n"],
    legend: dict[str, tuple[int, int, int]],
    corner: tuple[int, int],
) -> None:
    entries = [(f"box: {label}", colour) for label, colour in legend.items()]
    if any(int(prepared.manifest["mask_row"].iloc[int(row)]) >= 0 for row in rows):
        entries += [("mask", MASK_COLOUR), ("not counted", IGNORED_COLOUR)]
    drawing, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=12)
    left = corner[0]
    for text, colour in entries:
        drawing.rectangle((left, corner[1] + 2, left + 10, corner[1] + 12), fill=colour)
        drawing.text((left + 14, corner[1]), text, fill=INK, font=font)
        left += 14 + int(font.getlength(text)) + 16
