"""A phantom suite small enough for tests."""

from __future__ import annotations

from pathlib import Path

SUITE = """
name = "tiny"
title = "Tiny synthetic suite"
synthetic = true
note = "Synthetic data: for tests."
needs_data = false
arch = "resnet18"
image_size = 64
protocol = "clean"
fractions = [0.1, 1.0]
seeds = [0]

[corpus]
source = "phantom"
options = {population = "corpus", count = 40, seed = 1}
split = [3, 1, 0]

[pretraining]
epochs = 1
warmup_epochs = 0
batch_size = 8
learning_rate = 1e-3
text_model = "scratch"
text_width = 32
vocabulary = 300

[evaluation.classification]
max_epochs = 3
min_steps = 5

[evaluation.segmentation]
decoder_channels = [16, 16, 8, 8, 8]
max_steps = 4
validate_every = 2
batch_size = 4

[evaluation.detection]
neck_channels = [16, 16, 8]
max_steps = 4
validate_every = 2
batch_size = 4

[[dataset]]
name = "rsna"
title = "RSNA-like"
source = "phantom"
options = {population = "rsna", count = 40, seed = 2, mask = "lung_opacity"}

[[pair]]
dataset = "rsna"
task = "classification"
metric = "auroc"
labels = ["lung_opacity"]

[[pair]]
dataset = "rsna"
task = "segmentation"
metric = "dice"

[[pair]]
dataset = "rsna"
task = "detection"
metric = "map"
labels = ["lung_opacity"]
"""


def write_suite(folder: Path) -> Path:
    """Write the suite and return its path."""
    path = folder / "tiny.toml"
    path.write_text(SUITE, encoding="utf-8")
    return path
