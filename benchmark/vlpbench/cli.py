"""The command line: arguments and help. The work is done in `vlpbench.commands`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from vlpbench.cli_data import data_app
from vlpbench.errors import VlpbenchError

app = typer.Typer(
    name="vlpbench",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help=(
        "Benchmark medical vision-language pre-training: one command pre-trains a backbone, evaluates it "
        "frozen by linear classification, U-Net segmentation and YOLOv3 detection with 1, 10 and 100 % of the labels, "
        "and prints the tables."
    ),
    epilog="Start with:  vlpbench run --method sista --tasks all",
)

app.add_typer(data_app)

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
Plugins = Annotated[
    list[Path] | None, typer.Option("--plugin", help="A Python file with a method of your own. Repeatable.")
]


@app.command()
def run(
    method: Methods = "sista",
    tasks: Tasks = "all",
    suite: SuiteName = "phantom",
    arch: Arch = None,
    image_size: ImageSize = None,
    fractions: Fractions = None,
    seeds: Seeds = None,
    pretrain_seed: PretrainSeed = 0,
    protocol: ProtocolName = None,
    splits: Splits = None,
    limit: Limit = None,
    data: Data = None,
    results: Results = Path("results"),
    work: Work = Path("work"),
    device: Device = "auto",
    jobs: Jobs = None,
    settings: Set = None,
    plugin: Plugins = None,
    force: Annotated[bool, typer.Option(help="Evaluate again what has a record; old records stay.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Only show what would be done, as [b]vlpbench plan[/b] does.")] = False,
) -> None:
    """Pre-train, evaluate and print the tables.

    What is there already is not done again; stop it at any time and carry on later.
    """
    from vlpbench.commands import run as command

    command.run(
        command.Arguments(
            method=method,
            tasks=tasks,
            suite=suite,
            arch=arch,
            image_size=image_size,
            fractions=fractions,
            seeds=seeds,
            pretrain_seed=pretrain_seed,
            protocol=protocol,
            splits=splits,
            limit=limit,
            data=data,
            results=results,
            work=work,
            device=device,
            jobs=jobs,
            settings=tuple(settings or ()),
            plugins=tuple(plugin or ()),
        ),
        force=force,
        dry_run=dry_run,
    )


@app.command()
def plan(
    method: Methods = "sista",
    tasks: Tasks = "all",
    suite: SuiteName = "phantom",
    arch: Arch = None,
    image_size: ImageSize = None,
    fractions: Fractions = None,
    seeds: Seeds = None,
    pretrain_seed: PretrainSeed = 0,
    protocol: ProtocolName = None,
    splits: Splits = None,
    limit: Limit = None,
    data: Data = None,
    results: Results = Path("results"),
    work: Work = Path("work"),
    jobs: Jobs = None,
    settings: Set = None,
    plugin: Plugins = None,
) -> None:
    """Show what [b]run[/b] would do, what is already there, and what is refused and why."""
    from vlpbench.commands import run as command

    command.run(
        command.Arguments(
            method=method,
            tasks=tasks,
            suite=suite,
            arch=arch,
            image_size=image_size,
            fractions=fractions,
            seeds=seeds,
            pretrain_seed=pretrain_seed,
            protocol=protocol,
            splits=splits,
            limit=limit,
            data=data,
            results=results,
            work=work,
            device="cpu",
            jobs=jobs,
            settings=tuple(settings or ()),
            plugins=tuple(plugin or ()),
        ),
        force=False,
        dry_run=True,
    )


@app.command()
def table(
    out: Annotated[
        Path | None,
        typer.Option(
            help="File to write: .md, .tex, .csv or .html. [b]results/table2.md[/b] means Table II. Default: print."
        ),
    ] = None,
    which: Annotated[
        str | None,
        typer.Option(
            "--table",
            help="1, 2, 3, 4, classification, segmentation, detection, ablation or all. "
            "Default: told by the file name, else all.",
        ),
    ] = None,
    suite: Annotated[
        str | None, typer.Option("--suite", "-s", help="Only this suite. Default: every suite with records.")
    ] = None,
    results: Results = Path("results"),
    plugin: Plugins = None,
) -> None:
    """Write the tables from the records: best in bold, second underlined, floors included, missing cells counted."""
    from vlpbench.commands import table as command

    command.table(out, which=which, suite=suite, results=results, plugins=tuple(plugin or ()))


@app.command(name="list")
def list_names(
    what: Annotated[str, typer.Argument(help="methods, tasks, suites, protocols, sources or all.")] = "all",
    plugin: Plugins = None,
) -> None:
    """List methods, tasks, suites, protocols and data sources."""
    from vlpbench.commands import catalogue

    catalogue.list_names(what, plugins=tuple(plugin or ()))


@app.command()
def describe(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[KIND] NAME",
            help="A method, task, suite, protocol or source; where two have one name, such as the method and the "
            "protocol mgca, its kind first: [b]describe protocol mgca[/b].",
        ),
    ],
    plugin: Plugins = None,
) -> None:
    """Show a card: what a method needs and how it departs from its paper, a protocol's sources, a suite's data."""
    from vlpbench.commands import catalogue

    if len(words) > 2:
        raise typer.BadParameter(f"expected a name, or a kind and a name; got {' '.join(words)}")
    catalogue.describe(words[-1], kind=words[0] if len(words) == 2 else "", plugins=tuple(plugin or ()))


@app.command()
def check(
    name: Annotated[str, typer.Argument(help="Methods by name, separated by commas, or [b]all[/b].")],
    arch: Annotated[
        str, typer.Option(help="Backbone, by a short or timm name; images are 32 pixels wide, and weights random.")
    ] = "resnet18",
    plugin: Plugins = None,
) -> None:
    """Check that a method keeps the contract, before hours of training show that it does not.

    It takes seconds, on seven made-up pairs. Exit code 1 if a check fails; weights that cannot be had are no failure.
    """
    from vlpbench.commands import check as command

    command.check(name, arch=arch, plugins=tuple(plugin or ()))


@app.callback(invoke_without_command=True)
def version(
    show: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    """Benchmark medical vision-language pre-training."""
    if show:
        from vlpbench import __version__

        typer.echo(f"vlpbench {__version__}")
        raise typer.Exit


def main() -> None:
    """Entry point: user errors are one message on standard error and exit code 1; a run stopped by Ctrl-C is 130."""
    try:
        app()
    except VlpbenchError as error:
        typer.secho(f"vlpbench: {error}", err=True, fg=typer.colors.RED if sys.stderr.isatty() else None)
        sys.exit(error.exit_code)
