"""How much faster is preparing than reading each JPEG at full size and resizing it?

Draws radiograph-like pictures of 2,500 x 3,000 pixels, of 1 to 2.5 MB as JPEG, stored as grey and stored as colour,
and brings each into the square in three ways: as preparing does (bytes read and hashed once, decoded at a reduced
scale, then resized), at full size as grey, and at full size as colour, as loaders of image folders do. The squares must
agree to within a grey level on average, or nothing is measured. Beside them stands the least that libjpeg can do: an
eighth of the scale, which is little more than reading the code words, and no resize. The ways take turns in one
process; processor time counts, the least of all turns for each picture, which other work on the machine disturbs least.
Then whole data sets of the grey files are prepared by one and by two processes, in fresh interpreters, and their wall
time and peak memory taken (Linux). Writes Markdown to standard output:

    uv run python benchmark/speed/preparing.py
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from joblib.externals.loky import get_reusable_executor
from PIL import Image

from vlpbench.data.decoding import read_picture
from vlpbench.data.geometry import Geometry
from vlpbench.data.prepared import prepare
from vlpbench.data.source import ImageRow, SourceRequest
from vlpbench.data.squares import read_square
from vlpbench.registry import register_source
from vlpbench.sources.release import Release
from vlpbench.suite import DataSpec

HEIGHT, WIDTH = 3000, 2500
KINDS = ((2.0, 95), (3.0, 90), (3.0, 95), (8.0, 75), (6.0, 90))
"""Standard deviation of the noise in grey values, and JPEG quality."""
COLOUR_QUALITY = 90
MEGABYTES = (1.0, 2.5)
TOLERANCE = 1.0
OURS, LEAST = "prepare", "an eighth, no resize"


@register_source("radiographs", title="Pictures", licence="none", how="Drawn.", options={"count": "rows"}, version=1)
class Radiographs(Release):
    """Rows of the JPEGs of one folder, each as often as it takes."""

    OPTIONS: ClassVar[Mapping[str, Any]] = {"count": 0}

    def stamp(self) -> object:
        """Nothing that lasts."""
        return self.options["count"]

    def rows(self) -> Sequence[ImageRow]:
        """The pictures in turns."""
        paths = sorted(self.folder.glob("*.jpg"))
        return [
            ImageRow(
                str(number), f"p{number}", f"s{number}", split="train", source_path=paths[number % len(paths)].name
            )
            for number in range(self.options["count"])
        ]


def asked(folder: Path, size: int, count: int) -> SourceRequest:
    """A request for `count` pictures."""
    return SourceRequest(DataSpec("radiographs", "Pictures", "radiographs", {"count": count}), folder, size)


def draw(noise: float, quality: int, generator: np.random.Generator) -> bytes:
    """A JPEG with structure at every scale from the thorax to a few pixels."""
    picture = np.full((HEIGHT, WIDTH), 120.0, dtype=np.float32)
    for cells, strength in ((12, 35.0), (60, 15.0), (300, 8.0)):
        field = generator.normal(size=(cells, cells)).astype(np.float32)
        picture += strength * np.asarray(Image.fromarray(field).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
    picture += noise * generator.standard_normal(size=(HEIGHT, WIDTH), dtype=np.float32)
    data = io.BytesIO()
    Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(data, "JPEG", quality=quality)
    return data.getvalue()


def in_colour(data: bytes) -> bytes:
    """The same picture with three channels, two of them at half the resolution, as most cameras and programs write."""
    coloured = io.BytesIO()
    Image.open(io.BytesIO(data)).convert("RGB").save(coloured, "JPEG", quality=COLOUR_QUALITY, subsampling="4:2:0")
    return coloured.getvalue()


def full_grey(path: Path, size: int) -> np.ndarray:
    """At full size, as grey; the hash reads the file again."""
    with Image.open(path) as image:
        grey = np.asarray(image.convert("L"))
    with path.open("rb") as file:
        hashlib.file_digest(file, "sha256").hexdigest()
    return Geometry(grey.shape[0], grey.shape[1], size).resize(grey)


def full_colour(path: Path, size: int) -> np.ndarray:
    """At full size, as red, green and blue that become grey at the end."""
    with Image.open(path) as image:
        height, width = Geometry(image.height, image.width, size).inner
        small = image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR).convert("L")
    with path.open("rb") as file:
        hashlib.file_digest(file, "sha256").hexdigest()
    return Geometry(height, width, size).resize(np.asarray(small))


def least(path: Path) -> np.ndarray:
    """Code words and the mean of each block."""
    with Image.open(path) as image:
        image.draft("L", (1, 1))
        return np.asarray(image)


def ways(folder: Path, size: int) -> dict[str, Callable[[Path], np.ndarray]]:
    """What is measured, by name."""
    source = Radiographs(asked(folder, size, 1))

    def ours(path: Path) -> np.ndarray:
        pixels = read_square(source, ImageRow("a", "p", "s", source_path=path.name), size)
        return np.asarray(pixels.image)  # type: ignore[union-attr]

    return {
        OURS: ours,
        "full size, grey": lambda path: full_grey(path, size),
        "full size, colour": lambda path: full_colour(path, size),
        LEAST: least,
    }


def differences(paths: list[Path], size: int) -> str:
    """Mean absolute difference to the full-size squares, in grey values, by how much is asked of the decoder."""
    lines = ["| at least | mean difference | worst picture |", "|---|---:|---:|"]
    for times in (1, 1.5, 2):
        found = []
        for path in paths:
            picture = read_picture(path, at_least=int(times * size))
            reduced = Geometry(picture.height, picture.width, size).resize(picture.grey)
            found.append(float(np.abs(reduced.astype(int) - full_grey(path, size)).mean()))
        lines.append(f"| {times} x {size} | {np.mean(found):.2f} | {max(found):.2f} |")
    return "\n".join(lines) + "\n"


def take_turns(paths: list[Path], folder: Path, size: int, rounds: int) -> dict[str, float]:
    """Seconds of processor an image."""
    found = ways(folder, size)
    best = {name: [float("inf")] * len(paths) for name in found}
    for turn in range(rounds):
        for name in list(found)[:: 1 if turn % 2 == 0 else -1]:
            for number, path in enumerate(paths):
                begun = time.process_time()
                found[name](path)
                best[name][number] = min(best[name][number], time.process_time() - begun)
    return {name: float(np.mean(times)) for name, times in best.items()}


def prepare_once(folder: Path, size: int, count: int, jobs: int) -> dict[str, float]:
    """Wall seconds and peak memory of preparing in this process and those it starts; warm processes count."""
    with tempfile.TemporaryDirectory(dir=folder) as work:
        prepare(asked(folder, size, 2 * jobs), Path(work), jobs=jobs)
        begun = time.perf_counter()
        prepare(asked(folder, size, count), Path(work), jobs=jobs)
        wall = time.perf_counter() - begun
    # Memory of a process is known when it has ended.
    get_reusable_executor().shutdown(wait=True)
    own, children = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {"wall": wall, "own": own / 1024, "child": children / 1024}


def in_fresh_process(folder: Path, size: int, count: int, jobs: int) -> dict[str, float]:
    """`prepare_once` in an interpreter that has done nothing else."""
    request = json.dumps([str(folder), size, count, jobs])
    command = [sys.executable, __file__, "--measure", request]
    answer = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    found: dict[str, float] = json.loads(answer.stdout)
    return found


def report(folder: Path, size: int, rounds: int, count: int) -> str:
    """Tables for one size and one kind of files."""
    paths = sorted(folder.glob("*.jpg"))
    text = f"\n{folder.name} files, {size} pixels\n\n{differences(paths, size)}\n"
    seconds = take_turns(paths, folder, size, rounds)
    text += "| way | images a second of one core | times as slow as preparing |\n|---|---:|---:|\n"
    for name, spent in seconds.items():
        text += f"| {name} | {1 / spent:.1f} | {spent / seconds[OURS]:.2f} |\n"
    if count:
        turns = {jobs: [in_fresh_process(folder, size, count, jobs) for _ in range(2)] for jobs in (1, 2)}
        text += "\n| processes | images a second, wall | peak memory, MiB | of a process that decodes |\n"
        text += "|---:|---:|---:|---:|\n"
        for jobs, runs in turns.items():
            best = {name: min(run[name] for run in runs) for name in runs[0]}
            child = f"{best['child']:.0f}" if jobs > 1 else "the same"
            text += f"| {jobs} | {count / best['wall']:.1f} | {best['own']:.0f} | {child} |\n"
    return text


def draw_all(folder: Path) -> list[Path]:
    """Folders of the same pictures as grey and as colour files."""
    generator = np.random.default_rng(0)
    grey, colour = folder / "grey", folder / "colour"
    grey.mkdir()
    colour.mkdir()
    for number, (noise, quality) in enumerate(KINDS):
        data = draw(noise, quality, generator)
        (grey / f"{number}.jpg").write_bytes(data)
        (colour / f"{number}.jpg").write_bytes(in_colour(data))
    return [grey, colour]


def wrong(folder: Path, sizes: Sequence[int]) -> str:
    """Why a comparison on these files would be worth nothing, "" where it is worth something."""
    megabytes = [path.stat().st_size / 1e6 for path in sorted(folder.glob("*.jpg"))]
    if not MEGABYTES[0] <= min(megabytes) <= max(megabytes) <= MEGABYTES[1]:
        return f"The {folder.name} pictures have {megabytes} MB, expected {MEGABYTES}."
    for size in sizes:
        compared = [way for name, way in ways(folder, size).items() if name != LEAST]
        squares = [[way(path).astype(int) for way in compared] for path in folder.glob("*.jpg")]
        worst = max(float(np.abs(other - ours).mean()) for ours, *others in squares for other in others)
        if not worst < TOLERANCE:
            return f"The ways differ by {worst:.2f} grey levels on average at {size} pixels ({folder.name} files)."
    return ""


def main() -> int:
    """Check that all agree, then measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--sizes", type=int, nargs="+", default=[224, 512], help="sides of the square, pixels")
    parser.add_argument("--rounds", type=int, default=5, help="turns (5)")
    parser.add_argument("--images", type=int, default=60, help="of the data sets that are prepared; 0 for none (60)")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure is not None:
        folder, size, count, jobs = json.loads(given.measure)
        sys.stdout.write(json.dumps(prepare_once(Path(folder), size, count, jobs)))
        return 0
    with tempfile.TemporaryDirectory() as name:
        folders = draw_all(Path(name))
        problem = next((found for folder in folders if (found := wrong(folder, given.sizes))), "")
        if problem:
            sys.stderr.write(f"{problem}\n")
            return 1
        sys.stdout.write(f"{given.rounds} turns, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}\n")
        for folder in folders:
            megabytes = ", ".join(f"{path.stat().st_size / 1e6:.1f}" for path in sorted(folder.glob("*.jpg")))
            sys.stdout.write(f"{folder.name} JPEGs of {megabytes} MB\n")
        for folder in folders:
            for size in given.sizes:
                # Whole data sets once: their wall time says how processes share a machine.
                count = given.images if folder == folders[0] else 0
                sys.stdout.write(report(folder, size, given.rounds, count))
    return 0


if __name__ == "__main__":
    sys.exit(main())
