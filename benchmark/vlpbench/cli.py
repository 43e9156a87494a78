"""The command line: arguments and help. The work is done in `vlpbench.commands`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from vlpbench.cli_data import data_app
from vlpbench.cli_options import (
    Arch,
    Data,
    Datasets,
    Device,
    Fractions,
    ImageSize,
    Jobs,
    Limit,
    Methods,
    Plugins,
    PretrainSeed,
    ProtocolName,
    Results,
    Seeds,
    Set,
    Splits,
    SuiteName,
    Tasks,
    Trackers,
    Work,
)
from vlpbench.cli_results import results_app
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
app.add_typer(results_app)


@app.command()
def run(
    method: Methods = "sista",
    tasks: Tasks = "all",
    datasets: Datasets = "all",
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
    tracker: Trackers = None,
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
            datasets=datasets,
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
            trackers=tuple(tracker or ()),
            plugins=tuple(plugin or ()),
        ),
        force=force,
        dry_run=dry_run,
    )


@app.command()
def plan(
    method: Methods = "sista",
    tasks: Tasks = "all",
    datasets: Datasets = "all",
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
            datasets=datasets,
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
    intervals: Annotated[
        bool,
        typer.Option(
            "--intervals",
            help="Add 95 % intervals by bootstrap over the test patients, and set in bold whatever is not "
            "significantly below the best.",
        ),
    ] = False,
    with_published: Annotated[
        bool,
        typer.Option(
            "--with-published",
            help="Add the numbers of the SISTA paper, the difference, and a mark for all in which they differ.",
        ),
    ] = False,
    samples: Annotated[int, typer.Option(min=100, help="Bootstrap samples behind --intervals.")] = 2000,
    results: Results = Path("results"),
    plugin: Plugins = None,
) -> None:
    """Write the tables from the records: best in bold, second underlined, floors included, missing cells listed.

    Without a record to show, the exit code is 2. docs/reading_the_tables.md explains every sign.
    """
    from vlpbench.commands import table as command

    command.table(
        out,
        which=which,
        suite=suite,
        intervals=intervals,
        published=with_published,
        samples=samples,
        results=results,
        plugins=tuple(plugin or ()),
    )


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
