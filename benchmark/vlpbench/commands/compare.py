"""`vlpbench compare`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from vlpbench.commands.comparison_words import Compared
from vlpbench.commands.contests import build_contests
from vlpbench.errors import NothingToShowError, UnknownNameError, VlpbenchError
from vlpbench.record import Record
from vlpbench.registry import REGISTRY
from vlpbench.statistics.comparison import Contest, Contestant, records_to_resample
from vlpbench.statistics.comparison import compare as compare_pair
from vlpbench.statistics.ranks import rank_contestants
from vlpbench.statistics.resampler import Resampler
from vlpbench.store import RecordStore

ALL = "all"
SEPARATOR = "@"
SUFFIXES = (".md", ".html", ".csv")
SHORT = 6
Pair = tuple[Contestant, Contestant]


class UnknownMethodError(UnknownNameError):
    """No method of that name."""

    exit_code = 2


def compare(
    methods: tuple[str, ...],
    *,
    task: str | None,
    suite: str | None,
    out: Path | None,
    samples: int,
    results: Path,
    plugins: tuple[Path, ...],
) -> None:
    """Compare the first method with each of the others, rank all, and print or write it.

    Raises:
        VlpbenchError: with exit code 2 where a method is unknown or has no records, or no cell has both.
    """
    from vlpbench.table.titles import registered_titles

    if out is not None and out.suffix.lower() not in SUFFIXES:
        raise VlpbenchError(f"Cannot tell the format of {out}: its name must end in {', '.join(SUFFIXES)}.")
    for path in plugins:
        REGISTRY.add_file(path)
    if task is not None:
        REGISTRY.card("task", task)
    store = RecordStore(results)
    records, problems = store.load_all(suite)
    errors = Console(stderr=True, soft_wrap=True)
    for problem in problems:
        errors.print(f"left out: {problem}", markup=False, highlight=False)
    wanted = [record for record in records if task == record.spec.task or (task is None and record.spec.fraction > 0)]
    without_labels = sorted({record.spec.task for record in records if record.spec.fraction == 0}) if not task else []
    for name in without_labels:
        # few methods can do it at all, and only cells that every method has count for the ranks
        errors.print(f"{name} uses no labels and is compared apart: --task {name}", highlight=False)
    _check_names(methods, wanted, results, task)
    contests = build_contests(wanted, registered_titles(), task=task)
    chosen = [(contest, *_choose(contest, methods)) for contest in contests]
    chosen = [(contest, pairs, choices) for contest, pairs, choices in chosen if pairs]
    if not chosen:
        raise _nothing_in_common(methods, wanted, results)
    resampler = Resampler(store, samples=samples, plugins=plugins)
    resampler.prefetch(record for contest, pairs, _ in chosen for record in records_to_resample(contest, pairs))
    _tell([_compare(resampler, *one) for one in chosen], out, errors)


def _tell(all_compared: Sequence[Compared], out: Path | None, errors: Console) -> None:
    from vlpbench.commands.comparison_files import write_comparisons
    from vlpbench.commands.comparison_terminal import print_comparisons

    for compared in all_compared:
        print_comparisons(compared, Console())
    if out is not None:
        for path in write_comparisons(out, all_compared):
            errors.print(f"{path}: written", markup=False, highlight=False)


def _compare(resampler: Resampler, contest: Contest, pairs: Sequence[Pair], choices: Sequence[str]) -> Compared:
    taken = {one.name: one for pair in pairs for one in pair}
    candidates = [one for one in _newest(contest).values() if one.name not in taken]
    candidates += list(dict.fromkeys(one for pair in pairs for one in pair))
    ordered = [one for one in contest.contestants if one in candidates]
    return Compared(
        contest=contest,
        comparisons=tuple(compare_pair(resampler, contest, *pair) for pair in pairs),
        ranking=rank_contestants(contest, ordered),
        choices=tuple(choices),
        samples=resampler.samples,
    )


def _choose(contest: Contest, methods: Sequence[str]) -> tuple[list[Pair], list[str]]:
    """Pairs of the first method and each other, as far as they have common cells here, and how they were chosen."""
    newest = _newest(contest)
    choices: list[str] = []
    if tuple(methods) == (ALL,):
        named = list(newest.values())
        first, why = _reference(contest, named)
        choices.append(why)
        named = [first, *(one for one in named if one is not first)]
    else:
        found = [_find(contest, newest, name) for name in methods]
        named = [one for one in found if one is not None]
        if not named or found[0] is None:
            return [], []
        first = named[0]
    for one in named:
        others = [other for other in contest.contestants if other.name == one.name and other is not one]
        if others:
            choices.append(_choice(one, others))
    return [(first, one) for one in named[1:] if contest.common(first, one)], choices


def _choice(one: Contestant, others: Sequence[Contestant]) -> str:
    told = ", ".join(_request(other, others=[one, *others]) for other in others)
    return (
        f"Of {one.name} this is recipe {one.recipe[:SHORT] or 'unknown'} on {one.arch}, the newest unless another was "
        f"asked for; there is also {told}."
    )


def _request(one: Contestant, others: Sequence[Contestant]) -> str:
    """How to ask for one of several."""
    alike = [other for other in others if other.arch == one.arch]
    return f"{one.name}{SEPARATOR}{one.arch if len(alike) == 1 else one.recipe[:SHORT]}"


def _newest(contest: Contest) -> dict[str, Contestant]:
    """The contestant of each method whose last record is newest, in the order of the tables."""
    newest: dict[str, Contestant] = {}
    for one in contest.contestants:
        known = newest.get(one.name)
        if known is None or _age(contest, one) > _age(contest, known):
            newest[one.name] = one
    return newest


def _age(contest: Contest, contestant: Contestant) -> str:
    return max(record.started_at for (who, _), runs in contest.runs.items() if who == contestant for record in runs)


def _reference(contest: Contest, named: Sequence[Contestant]) -> tuple[Contestant, str]:
    """The method that all others are compared with, and why."""
    ranking = rank_contestants(contest, named)
    if ranking is None:
        return named[
            0
        ], f"All are compared with {named[0].title}, the first of the tables, since ranks need every cell."
    best = ranking.contestants[0]
    return best, (
        f"All are compared with {best.title}, which has the best average rank on these very cells; a reference chosen "
        "by its results looks better than it is."
    )


def _find(contest: Contest, newest: dict[str, Contestant], request: str) -> Contestant | None:
    """The contestant asked for as NAME, NAME@ARCHITECTURE or NAME@RECIPE, None where it has no records here."""
    name, _, wanted = request.partition(SEPARATOR)
    if not wanted:
        return newest.get(name)
    fitting = [
        one for one in contest.contestants if one.name == name and (one.arch == wanted or one.recipe.startswith(wanted))
    ]
    return max(fitting, key=lambda one: _age(contest, one), default=None)


def _check_names(methods: Sequence[str], records: Sequence[Record], results: Path, task: str | None) -> None:
    """See that every method asked for is known and has records."""
    there = {record.spec.method for record in records}
    where = f"{results / 'records'}{f' of {task}' if task else ''}"
    tasks = task if task is not None else "all"
    if not there:
        raise NothingToShowError(
            f"No records under {where}. Run: vlpbench run --method all --tasks {tasks} --results {results}"
        )
    if tuple(methods) == (ALL,):
        return
    if len(methods) < 2 or ALL in methods or len(set(methods)) < len(methods):
        raise VlpbenchError(f"Compare two or more different methods, or {ALL} alone; given: {' '.join(methods)}.")
    for request in methods:
        name, _, wanted = request.partition(SEPARATOR)
        if name not in there and name not in REGISTRY.names("method"):
            raise UnknownMethodError("method", name, there)
        if name not in there:
            raise NothingToShowError(
                f"No records of {name} under {where}. Run: vlpbench run --method {name} --tasks {tasks} "
                f"--results {results}"
            )
        kinds = {kind for record in records if record.spec.method == name for kind in (record.spec.arch, record.recipe)}
        if wanted and not any(kind == wanted or kind.startswith(wanted) for kind in kinds):
            raise UnknownMethodError(f"architecture or recipe of {name}", wanted, kinds)


def _nothing_in_common(methods: Sequence[str], records: Sequence[Record], results: Path) -> NothingToShowError:
    """Why no two methods meet, and what to run."""
    first, *others = methods if tuple(methods) != (ALL,) else (ALL, ALL)
    places = {
        name: sorted(
            {
                f"{record.spec.suite}/{record.spec.protocol}/{record.spec.task}/{record.spec.dataset}"
                for record in records
                if name in (ALL, record.spec.method)
            }
        )
        for name in dict.fromkeys(request.partition(SEPARATOR)[0] for request in (first, *others))
    }
    told = "\n".join(f"  - {name}: {', '.join(found)}" for name, found in places.items())
    missing = ",".join(request.partition(SEPARATOR)[0] for request in others)
    return NothingToShowError(
        f"{first} shares no cell with {' or '.join(others)}: a cell is one suite, protocol, image size, dataset, task "
        f"and label fraction, with the same data and settings. There are records of\n{told}\n"
        f"Run the others where {first} has records: vlpbench run --method {missing} --results {results}"
    )
