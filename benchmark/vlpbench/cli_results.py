"""The command line of what is read off results: arguments and help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vlpbench.cli_options import Arch, Device, ImageSize, PretrainSeed

results_app = typer.Typer(rich_markup_mode="rich")

Results = Annotated[Path, typer.Option(help="Folder of records, predictions and tables.")]
Work = Annotated[Path, typer.Option(help="Folder of prepared data, backbones and caches.")]
Data = Annotated[Path | None, typer.Option(help="Folder of real data that the suite needs.")]
Suite = Annotated[str | None, typer.Option("--suite", "-s", help="Only this suite. Default: every suite with records.")]
Samples = Annotated[int, typer.Option(min=100, help="Bootstrap samples of the test patients.")]
Plugins = Annotated[
    list[Path] | None, typer.Option("--plugin", help="A Python file with a method or task of your own. Repeatable.")
]
Key = Annotated[
    str, typer.Argument(help="Key of a record, or its beginning; table footnotes and the report name them.")
]


@results_app.command()
def compare(
    methods: Annotated[
        list[str],
        typer.Argument(
            help="Two or more methods: the first against each other one; or [b]all[/b]: the best-ranked against each "
            "other one. Of several recipes or architectures of a method the newest is taken, or NAME@ARCHITECTURE or "
            "NAME@RECIPE picks one."
        ),
    ],
    task: Annotated[str | None, typer.Option("--task", "-t", help="Only this task. Default: all with records.")] = None,
    suite: Suite = None,
    out: Annotated[
        Path | None, typer.Option(help="File to write: .md, .csv or .html, with a diagram of ranks beside it.")
    ] = None,
    samples: Samples = 2000,
    results: Results = Path("results"),
    plugin: Plugins = None,
) -> None:
    """Compare methods cell by cell: paired differences with intervals, corrected for their number, and ranks."""
    from vlpbench.commands import compare as command

    command.compare(
        tuple(methods), task=task, suite=suite, out=out, samples=samples, results=results, plugins=tuple(plugin or ())
    )


@results_app.command()
def figures(
    out: Annotated[Path, typer.Option(help="Folder to write to, each figure as .svg and .png.")] = Path(
        "results/figures"
    ),
    suite: Suite = None,
    data: Data = None,
    samples: Samples = 2000,
    results: Results = Path("results"),
    plugin: Plugins = None,
) -> None:
    """Draw the figures: label efficiency, AUROC per class, precision and recall, predictions, training, ablation."""
    from vlpbench.commands import figures as command

    command.figures(out, suite=suite, data=data, samples=samples, results=results, plugins=tuple(plugin or ()))


@results_app.command()
def report(
    out: Annotated[Path, typer.Option(help="The .html file to write.")] = Path("results/report.html"),
    suite: Suite = None,
    data: Data = None,
    samples: Samples = 2000,
    results: Results = Path("results"),
    plugin: Plugins = None,
) -> None:
    """Write one HTML file with tables, figures, warnings, and how to reproduce each cell; it needs no network."""
    from vlpbench.commands import report as command

    command.report(out, suite=suite, data=data, samples=samples, results=results, plugins=tuple(plugin or ()))


@results_app.command()
def show(
    key: Key,
    full: Annotated[
        bool, typer.Option("--full", help="With the source of every setting and every loss of every epoch.")
    ] = False,
    results: Results = Path("results"),
    plugin: Plugins = None,
) -> None:
    """Print the card of a record: what was evaluated, every metric, where the number comes from."""
    from vlpbench.commands import show as command

    command.show(key, results=results, full=full, plugins=tuple(plugin or ()))


@results_app.command()
def rescore(
    suite: Suite = None,
    task: Annotated[str | None, typer.Option("--task", "-t", help="Only this task. Default: all with records.")] = None,
    results: Results = Path("results"),
    plugin: Plugins = None,
) -> None:
    """Compute metrics again from stored predictions; new ones are added in a further record, nothing is overwritten.

    Exit code 1 where a stored metric differs from what its predictions give, or predictions are missing or damaged.
    """
    from vlpbench.commands import rescore as command

    command.rescore(suite=suite, task=task, results=results, plugins=tuple(plugin or ()))


@results_app.command()
def reproduce(
    key: Key,
    suite: Annotated[
        Path | None, typer.Option("--suite", "-s", help="The .toml file of a suite of your own that the record is of.")
    ] = None,
    data: Data = None,
    results: Results = Path("results"),
    work: Work = Path("work"),
    device: Annotated[
        str, typer.Option(help="auto (the kind that the record was made on, if it is here), cpu, cuda or cuda:N.")
    ] = "auto",
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes that prepare data. Default: one per core.")] = None,
    weights: Annotated[
        str,
        typer.Option(
            help="[b]stored[/b]: the backbone in --work where it is there. [b]retrain[/b]: train another in any case."
        ),
    ] = "stored",
    plugin: Plugins = None,
) -> None:
    """Evaluate the cell of a record again and say whether the metrics agree; exit code 1 if they do not.

    Nothing in --results is touched.
    """
    from vlpbench.commands import reproduce as command

    command.reproduce(
        key,
        command.Means(
            suite=suite,
            data=data,
            results=results,
            work=work,
            device=device,
            jobs=jobs,
            weights=weights,
            plugins=tuple(plugin or ()),
        ),
    )


@results_app.command()
def heatmap(
    method: Annotated[
        str,
        typer.Option(
            "--method",
            "-m",
            help="Trained methods by name, separated by commas, or [b]all[/b] that align words and patches.",
        ),
    ] = "sista",
    image: Annotated[
        str | None,
        typer.Option(
            help="The radiograph: a .png, .jpg or .dcm file, or [b]DATASET:IMAGE_ID[/b] of the suite, such as "
            "[b]rsna:rsna-p00014-s1[/b], whose true masks are drawn too where they are known."
        ),
    ] = None,
    words: Annotated[
        str | None,
        typer.Option(help="Words or phrases to look for, with commas between them: [b]pleural effusion,opacity[/b]."),
    ] = None,
    report: Annotated[
        str | None,
        typer.Option(help="A report that holds the words, to read them in. Default: each phrase is read by itself."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The picture to write: .png, .svg or .pdf.")] = None,
    score: Annotated[
        bool,
        typer.Option(
            "--score",
            help="No picture: score the maps of all findings on the test studies of a synthetic suite against the true "
            "masks, and keep records for [b]vlpbench table --table grounding[/b].",
        ),
    ] = False,
    suite: Annotated[str, typer.Option("--suite", "-s", help="Suite the methods were trained with.")] = "phantom",
    arch: Arch = None,
    image_size: ImageSize = None,
    pretrain_seed: PretrainSeed = 0,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Recipe settings the methods were trained with. Repeatable.")
    ] = None,
    data: Data = None,
    results: Results = Path("results"),
    work: Work = Path("work"),
    device: Device = "auto",
    plugin: Plugins = None,
) -> None:
    """Draw where trained methods place words in a radiograph, or score that against true masks.

    The picture has a column for each phrase and a row for each method.

    Colours run from the lowest to the highest patch of each map: they compare places, not images or methods.

    Train methods first: [b]vlpbench run --method sista[/b]. Then, for example:

    [b]vlpbench heatmap --method sista --image X.png --words "effusion,opacity" --out fig2.png[/b]
    """
    from vlpbench.commands import heatmap as command

    arguments = command.Arguments(
        method=method,
        suite=suite,
        arch=arch,
        image_size=image_size,
        pretrain_seed=pretrain_seed,
        settings=tuple(settings or ()),
        data=data,
        results=results,
        work=work,
        device=device,
        plugins=tuple(plugin or ()),
    )
    if score:
        command.score(arguments)
    else:
        command.draw(arguments, image=image, words=words, report=report, out=out)
