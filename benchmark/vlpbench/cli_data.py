"""The command line of `vlpbench data`: arguments and help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vlpbench.errors import VlpbenchError

data_app = typer.Typer(
    name="data",
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Prepare, check and look at datasets.",
    epilog="Start with:  vlpbench data list",
)

Name = Annotated[str, typer.Argument(help="A dataset, by the name that [b]vlpbench data list[/b] shows.")]
Work = Annotated[Path, typer.Option(help="Folder of prepared data.")]
Plugins = Annotated[
    list[Path] | None, typer.Option("--plugin", help="A Python file with a source of your own. Repeatable.")
]


@data_app.command(name="list")
def list_data(work: Work = Path("work"), plugin: Plugins = None) -> None:
    """List the datasets: tasks, licence, how to get each, its size, and whether it is prepared here."""
    from vlpbench.commands import data as command

    command.list_data(work=work, plugins=tuple(plugin or ()))


@data_app.command()
def prepare(
    name: Name,
    src: Annotated[Path | None, typer.Option(help="Folder of the release as it was downloaded and unpacked.")] = None,
    size: Annotated[int | None, typer.Option(min=32, help="Side of the prepared square. Default: the suite's.")] = None,
    suite: Annotated[
        str,
        typer.Option("--suite", "-s", help="Whose options, split and size to take: prepared once, used by its runs."),
    ] = "paper",
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes that decode. Default: one per core.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="An option of the source, such as [b]--set version=9A[/b]. Repeatable."),
    ] = None,
    work: Work = Path("work"),
    plugin: Plugins = None,
) -> None:
    """Turn a raw download into one folder that training reads without decoding.

    Interrupt it at any time: the same command carries on. What was prepared before is never touched.
    """
    from vlpbench.commands import data as command

    if src is not None and not src.is_dir():
        raise VlpbenchError(f"--src {src} is not a folder.")
    command.prepare_data(
        name,
        folder=src,
        size=size,
        suite=suite,
        jobs=jobs,
        settings=tuple(settings or ()),
        work=work,
        plugins=tuple(plugin or ()),
    )


@data_app.command()
def verify(
    name: Name,
    src: Annotated[
        Path | None, typer.Option(help="Folder of the release: its files are compared with what was prepared.")
    ] = None,
    work: Work = Path("work"),
) -> None:
    """Check a prepared dataset: arrays, duplicates, what was left out, patients shared by the parts of each split.

    Exit code 1 if something is broken.
    """
    from vlpbench.commands import data as command

    if src is not None and not src.is_dir():
        raise VlpbenchError(f"--src {src} is not a folder.")
    command.verify_data(name, folder=src, work=work)


@data_app.command()
def splits(
    name: Name,
    diff: Annotated[
        tuple[str, str] | None,
        typer.Option(help="Two splits to compare, such as [b]--diff benchx-2024 mgca-2022[/b]."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for a .csv per split, which [b]run --splits[/b] reads.")
    ] = None,
    work: Work = Path("work"),
) -> None:
    """Show the splits of a dataset: recipe, source, published and actual sizes, hash, and what is wrong with each."""
    from vlpbench.commands import data_splits as command

    command.show_splits(name, diff=diff, out=out, work=work)


@data_app.command()
def show(
    name: Name,
    out: Annotated[Path, typer.Option(help="Image file to write: .png, .jpg or .webp.")] = Path("sheet.png"),
    n: Annotated[int, typer.Option("--n", min=1, max=400, help="How many images.")] = 12,
    split: Annotated[str, typer.Option(help="Only [b]train[/b], [b]val[/b] or [b]test[/b].")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draw.")] = 0,
    work: Work = Path("work"),
) -> None:
    """Draw a contact sheet with boxes and masks, to look at."""
    from vlpbench.commands import show_data as command

    command.show_data(name, count=n, out=out, seed=seed, split=split, work=work)


@data_app.command()
def summarize(
    name: Annotated[str, typer.Argument(help="The corpus of the suite: [b]corpus[/b], or its source by name.")],
    writer: Annotated[
        str,
        typer.Option(
            "--with",
            help="Who writes: [b]impression[/b] (no model), [b]hf:MODEL[/b] (a local or Hugging Face instruction "
            "model) or [b]openai:URL#MODEL[/b] (any OpenAI-compatible server).",
        ),
    ] = "impression",
    suite: Annotated[str, typer.Option("--suite", "-s", help="Whose corpus it is.")] = "paper",
    data: Annotated[Path | None, typer.Option(help="Folder of real data that the suite needs.")] = None,
    model: Annotated[str | None, typer.Option(help="Model of the server, where it does not follow the URL.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Reports written at a time.")] = 16,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first studies, for a look.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    insist: Annotated[
        bool,
        typer.Option("--insist", help="Send reports to another machine although their licence forbids third parties."),
    ] = False,
    work: Work = Path("work"),
    plugin: Plugins = None,
) -> None:
    """Write a shorter wording of every report, which SISTA contrasts with it.

    Stop it at any time: the same command carries on. One summary per study; prompt, model and hashes are kept.
    """
    from vlpbench.commands import summarize as command

    command.summarize(
        name,
        writer=writer,
        suite=suite,
        data=data,
        work=work,
        model=model,
        batch=batch,
        limit=limit,
        device=device,
        insist=insist,
        plugins=tuple(plugin or ()),
    )
