"""Options that commands share: types and help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Methods = Annotated[
    str,
    typer.Option(
        "--method", "-m", help="Methods by name, separated by commas, or [b]all[/b]. See [b]vlpbench list[/b]."
    ),
]
Tasks = Annotated[
    str,
    typer.Option(
        "--tasks",
        "-t",
        help="Tasks by name, separated by commas, or [b]all[/b]: classification, segmentation, detection.",
    ),
]
Datasets = Annotated[
    str,
    typer.Option(
        "--datasets",
        help="Datasets of the suite by name, separated by commas, or [b]all[/b] that the chosen tasks have.",
    ),
]
SuiteName = Annotated[
    str,
    typer.Option(
        "--suite",
        "-s",
        help="[b]phantom[/b] (synthetic, embedded), [b]open[/b] or [b]paper[/b] (real, with --data), or your own "
        ".toml file.",
    ),
]
Arch = Annotated[
    str | None,
    typer.Option(
        help="Backbone: resnet18, resnet50, vit_b16 or any timm name with feature maps. Default: the suite's."
    ),
]
ImageSize = Annotated[
    int | None, typer.Option(min=32, help="Side of the square input in pixels. Default: the suite's.")
]
Fractions = Annotated[
    str | None,
    typer.Option(
        help="Fractions of the training labels, such as [b]0.01,0.1,1[/b] or [b]1%,10%,100%[/b]. Default: the suite's."
    ),
]
Seeds = Annotated[str | None, typer.Option(help="Evaluation seeds, such as [b]0,1,2[/b]. Default: the suite's.")]
PretrainSeed = Annotated[int, typer.Option(min=0, help="Seed of pre-training and of random initialisation.")]
ProtocolName = Annotated[str | None, typer.Option("--protocol", help="How backbones are judged. Default: the suite's.")]
Splits = Annotated[
    str | None,
    typer.Option(
        help="Split of every dataset: [b]clean[/b], a published one such as [b]mgca-2022[/b] (see [b]vlpbench data "
        "splits[/b]), or a .csv with image_id and split. Default: the suite's."
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(
        min=4, help="At most so many images per split, for a quick try; such numbers get a table of their own."
    ),
]
Data = Annotated[Path | None, typer.Option(help="Folder of real data that the suite needs.")]
Results = Annotated[Path, typer.Option(help="Folder of records, predictions and tables.")]
Work = Annotated[
    Path, typer.Option(help="Folder of prepared data, backbones, caches and logs; may be deleted at any time.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Jobs = Annotated[int | None, typer.Option(min=1, help="Processes that prepare data. Default: one per core.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help=(
            "A recipe setting of every method, such as [b]--set epochs=20[/b] or [b]--set options.temperature=0.1[/b], "
            "or of one, such as [b]--set sista.epochs=20[/b]. Repeatable."
        ),
    ),
]
Trackers = Annotated[
    list[str] | None,
    typer.Option(
        "--tracker",
        help="Follow the run with [b]tensorboard[/b], [b]wandb[/b] or [b]mlflow[/b], in a folder below --work unless "
        "their own environment variables say otherwise. Repeatable.",
    ),
]
Plugins = Annotated[
    list[Path] | None, typer.Option("--plugin", help="A Python file with a method of your own. Repeatable.")
]
