"""`vlpbench data summarize`: shorter wordings of a corpus' reports."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.console import Console

from vlpbench.canonical import writable_folder
from vlpbench.cards import SourceCard
from vlpbench.commands.arguments import load_plugins
from vlpbench.commands.progress import TerminalWatcher
from vlpbench.data.prepared import open_source
from vlpbench.data.source import SourceRequest
from vlpbench.errors import StoppedError, UnknownNameError, VlpbenchError
from vlpbench.registry import REGISTRY
from vlpbench.run import Step
from vlpbench.suite import Suite, load_suite
from vlpbench.summaries.endpoint import Endpoint, OpenAIWriter, parse_endpoint
from vlpbench.summaries.store import SummaryStore
from vlpbench.summaries.studies import Study, collect_studies, reports_fingerprint
from vlpbench.summaries.writer import ImpressionWriter, Writer
from vlpbench.summaries.writing import Outcome, write_missing

CORPUS = "corpus"
WAYS = "impression, hf:MODEL or openai:URL#MODEL"
SHOWN = 20


def summarize(
    name: str,
    *,
    writer: str,
    suite: str,
    data: Path | None,
    work: Path,
    model: str | None,
    batch: int,
    limit: int | None,
    device: str,
    insist: bool,
    plugins: tuple[Path, ...],
) -> None:
    """Write the summaries that a corpus lacks, and say where they are; exit code 1 when some could not be written.

    Args:
        name: the corpus: "corpus", or the name of the suite's source of it.
        writer: "impression", "hf:MODEL" or "openai:URL#MODEL".
        suite: whose corpus it is.
        data: folder of real data.
        work: folder under which `summaries/` lies.
        model: model of the server, where it does not follow the URL.
        batch: reports summarised at a time, from 1.
        limit: at most so many studies, None for all.
        device: "auto", "cpu", "cuda" or "cuda:N".
        insist: send reports that the licence keeps from third parties to another machine all the same.
        plugins: files with sources.

    Raises:
        UnknownNameError: for a suite, or a corpus it does not have.
        StoppedError: on Ctrl-C; what is written stays.
        VlpbenchError: for a writer that cannot be had or must not be used, and for data that cannot be read.
    """
    console = Console(soft_wrap=True)
    load_plugins(plugins)
    chosen = load_suite(suite)
    card = _card(chosen, name)
    scribe = _writer(writer, model, device)
    if isinstance(scribe, OpenAIWriter):
        _require_permission(card, scribe.endpoint, insist=insist)
    source = open_source(SourceRequest(chosen.corpus, data, chosen.image_size))
    studies = collect_studies(source.rows())  # no image is decoded
    header = _header(source.label, card, scribe, studies)
    named = {name: header[name] for name in ("reports", "prompt", "written_by")}
    store = SummaryStore.of(writable_folder(work), label=source.label, identity=named)
    with _bar(console, source.label, scribe) as progress:
        outcome = write_missing(store, studies, scribe, header=header, batch=batch, limit=limit, progress=progress)
    _report(console, source.label, store, outcome)
    if outcome.failed or outcome.stopped:
        sys.exit(1)


@contextmanager
def _bar(console: Console, label: str, writer: Writer) -> Iterator[Callable[[int, int], None]]:
    """A bar that appears with the first word of progress, and a word on where the reports go.

    Raises:
        StoppedError: on Ctrl-C.
    """
    with TerminalWatcher(console) as watcher, ExitStack() as stack:
        started: list[Step] = []

        def show(done: int, count: int) -> None:
            if not started:
                if isinstance(writer, OpenAIWriter) and not writer.endpoint.is_local:
                    watcher.note(f"Reports are sent to {writer.endpoint.host}.")
                started.append(stack.enter_context(watcher.stage(f"summarise {label}")))
            started[0](done, count, "")

        try:
            yield show
        except KeyboardInterrupt as stop:
            raise StoppedError("stopped. What was written stays; the same command carries on from there.") from stop


def _card(suite: Suite, name: str) -> SourceCard:
    """Card of the corpus' source."""
    if name not in {CORPUS, suite.corpus.source}:
        known = {CORPUS, suite.corpus.source}
        raise UnknownNameError(
            f"corpus of the suite {suite.name!r}", name, known, "Another suite's corpus needs --suite."
        )
    card = REGISTRY.card("source", suite.corpus.source)
    if not isinstance(card, SourceCard):
        raise TypeError(f"{suite.corpus.source} has no source card")
    return card


def _writer(text: str, model: str | None, device: str) -> Writer:
    """The writer that `--with` names."""
    way, _, rest = text.partition(":")
    if way == "openai" and rest:
        return OpenAIWriter(parse_endpoint(rest, model))
    if way in {"hf", "impression"} and model is not None:
        raise VlpbenchError(f"--model names a model of a server and goes with --with openai:URL, not with {text!r}.")
    if text == "impression":
        return ImpressionWriter()
    if way == "hf" and rest:
        from vlpbench.device import resolve_device
        from vlpbench.summaries.hugging_face import HuggingFaceWriter

        return HuggingFaceWriter(rest, device=resolve_device(device))
    raise VlpbenchError(f"--with takes {WAYS}; got {text!r}.")


def _require_permission(card: SourceCard, endpoint: Endpoint, *, insist: bool) -> None:
    """Keep reports whose licence says so on this machine."""
    if card.third_parties or endpoint.is_local or insist:
        return
    raise VlpbenchError(
        f"The reports of {card.name!r} would be sent to {endpoint.host}, and their licence "
        f"({card.licence}) forbids showing them to third parties. Two ways out: a model on this machine, "
        "--with hf:MODEL or --with openai:http://localhost:8000/v1#MODEL; or, if your agreement with the data's owner "
        f"allows {endpoint.host}, the same command with --insist."
    )


def _header(label: str, card: SourceCard, writer: Writer, studies: Sequence[Study]) -> dict[str, object]:
    """What the header says besides counts and times."""
    return {
        "corpus": label,
        "source": card.name,
        "licence": card.licence,
        "model": writer.model,
        "written_by": dict(writer.identity),
        "prompt": writer.prompt,
        "reports": reports_fingerprint(studies),
    }


def _report(console: Console, label: str, store: SummaryStore, outcome: Outcome) -> None:
    """What was there, what was written, what is odd about it, and what failed."""
    counts = outcome.counts
    if not outcome.written and not outcome.failed and not outcome.stopped:
        _say(console, f"{label}: {outcome.there:,} there, 0 to do.")
    else:
        _say(console, f"{label}: {outcome.there:,} there, {outcome.written:,} written, {len(outcome.failed):,} failed.")
    odd = [f"{counts[what]:,} {what}" for what in ("empty", "longer than the report", "cut off") if counts[what]]
    if odd:
        _say(console, f"Of the {counts['written']:,} summaries in the file: {', '.join(odd)}.")
    if outcome.failed:
        console.print("\nFailed:", style="bold")
        for line in outcome.failed[:SHOWN]:
            _say(console, f"  - {line}")
        if len(outcome.failed) > SHOWN:
            _say(console, f"  … and {len(outcome.failed) - SHOWN} more")
    if outcome.stopped:
        _say(console, f"Stopped with {outcome.untried:,} untried: {outcome.stopped}")
    if outcome.failed or outcome.stopped:
        _say(console, "What was written stays; the same command tries the rest again.")
    _say(console, f"{store.path} has {counts['written']:,} of {counts['studies']:,} studies.")
    _say(console, f'In the suite, under [corpus]: summaries = "{store.path}"')


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False)
