"""The picture: the same bytes every time, in three formats, whatever is in it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vlpbench.errors import VlpbenchError
from vlpbench.figures.alignment import AlignmentFigure, Panel, check_suffix, describe_range, write_alignment

SIZE = 24


def figure(*, hot: tuple[int, int] = (4, 18), known: bool = True) -> AlignmentFigure:
    """One method and two phrases, of which the second is unknown to it; the first is highest at one place."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    heat = np.exp(-((rows - hot[0]) ** 2 + (columns - hot[1]) ** 2) / 20.0)
    mask = np.zeros((SIZE, SIZE), dtype=bool)
    mask[2:8, 14:22] = True
    grey = np.full((SIZE, SIZE), 90, dtype=np.uint8)
    panels = [Panel(heat, -0.5, 0.25, [hot]), Panel(None, np.nan, np.nan)]
    phrases, masks = ["left <effusion>", "a_b & $c$"], [mask if known else None, None]
    return AlignmentFigure(grey, phrases, ["SISTA‡"], [panels], masks, "As it is seen.")


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf", ".PNG"])
def test_equal_figures_are_equal_bytes(tmp_path: Path, suffix: str) -> None:
    for name in ("one", "two"):
        write_alignment(figure(), tmp_path / f"{name}{suffix}")
    content = (tmp_path / f"one{suffix}").read_bytes()
    assert content == (tmp_path / f"two{suffix}").read_bytes()
    assert len(content) > 5000
    for stamp in (b"CreationDate", b"<dc:date>", b"Software", b"matplotlib.org"):
        assert stamp not in content
    write_alignment(figure(hot=(18, 4)), tmp_path / f"three{suffix}")
    assert content != (tmp_path / f"three{suffix}").read_bytes()


def test_the_highest_place_is_drawn_where_it_is(tmp_path: Path) -> None:
    def picture(**what) -> np.ndarray:
        write_alignment(figure(**what), tmp_path / "one.png")
        with Image.open(io.BytesIO((tmp_path / "one.png").read_bytes())) as image:
            return np.asarray(image.convert("RGB"), dtype=float)

    upper_right, lower_left = picture(known=False), picture(hot=(18, 4), known=False)
    assert upper_right.shape == lower_left.shape
    # yellow is where there is little blue
    rows, columns = np.nonzero(upper_right[:, :, 2] < lower_left[:, :, 2] - 40)
    other_rows, other_columns = np.nonzero(lower_left[:, :, 2] < upper_right[:, :, 2] - 40)
    assert np.median(rows) < np.median(other_rows)
    assert np.median(columns) > np.median(other_columns)


def test_other_suffixes_are_refused() -> None:
    with pytest.raises(VlpbenchError, match=r"--out fig2\.jpg: expected a name that ends in \.png, \.svg, \.pdf"):
        check_suffix(Path("fig2.jpg"))


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(VlpbenchError, match="Cannot write"):
        write_alignment(figure(), tmp_path / "file" / "fig2.png")


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (-0.5, 0.25, "-0.5 to 0.25"),
        (0.1111111, 0.1111149, "0.111111 to 0.111115"),
        (-4.2849, -2.4911, "-4.28 to -2.49"),
        (-115.69, 129.65, "-116 to 130"),
        (2.01e-10, 1.08e-05, "2.01e-10 to 1.08e-05"),
        (0.25, 0.25, "0.25 throughout"),
    ],
)
def test_ranges_are_told_with_digits_that_differ(low: float, high: float, text: str) -> None:
    assert describe_range(low, high) == text
