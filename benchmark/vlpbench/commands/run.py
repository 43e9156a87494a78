"""`vlpbench run` and `vlpbench plan`."""

from __future__ import annotations

import sys
from contextlib import ExitStack

from rich.console import Console
from rich.table import Table

from vlpbench.commands.arguments import Arguments, resolve
from vlpbench.commands.progress import TerminalWatcher
from vlpbench.errors import StoppedError
from vlpbench.plan import Plan, Request
from vlpbench.run import Outcome, Step, execute
from vlpbench.table.terminal import print_tables

__all__ = ["Arguments", "run"]


def run(arguments: Arguments, *, force: bool, dry_run: bool) -> None:
    """Carry out a request, or only show its plan; exit code 1 when a cell failed.

    Raises:
        StoppedError: on Ctrl-C; what is done stays done.
    """
    console = Console(soft_wrap=True)
    request = resolve(arguments)
    try:
        with TerminalWatcher(console) as watcher:
            plan = prepared_plan(request, watcher)
            outcome = None if dry_run else execute(plan, watcher, force=force)
    except KeyboardInterrupt as stop:
        raise StoppedError("stopped. What was finished stays; the same command carries on from there.") from stop
    if outcome is None:
        console.print(plan_table(plan))
        return
    _report(plan, outcome, console)
    if outcome.failed:
        sys.exit(1)


def prepared_plan(request: Request, watcher: TerminalWatcher) -> Plan:
    """A plan whose data is prepared, with a bar for each dataset that was not."""
    with ExitStack() as stack:
        started: dict[str, Step] = {}

        def show(name: str, done: int, count: int) -> None:
            if name not in started:
                stack.close()
                started[name] = stack.enter_context(watcher.stage(f"prepare {name}"))
            started[name](done, count, "")

        plan = Plan(request, progress=show)
        _ = plan.prepared
    return plan


def _report(plan: Plan, outcome: Outcome, console: Console) -> None:
    """Print the tables of what was asked for, then what was kept, refused and failed."""
    records, problems = plan.store.load_all(plan.request.suite.name)
    print_tables(records, console)
    for title, lines in (("Unreadable records", problems), ("Refused", outcome.refused), ("Failed", outcome.failed)):
        if lines:
            console.print(f"\n{title}:", style="bold")
            for line in lines:
                console.print(f"  - {line}", markup=False, highlight=False)
    console.print(
        f"\n{outcome.done} cell(s) evaluated, {outcome.kept} already there, {len(outcome.refused)} refused, "
        f"{len(outcome.failed)} failed. Records: {plan.request.results / 'records'}. "
        f"Next: vlpbench table --out {plan.request.results / 'table1.md'}",
        markup=False,
        highlight=False,
    )


def plan_table(plan: Plan) -> Table:
    """What would be done, a row per method and dataset-task pair."""
    request = plan.request
    fractions = ", ".join(f"{100 * fraction:g}%" for fraction in request.fractions)
    table = Table(
        title=f"Plan: suite {request.suite.name}, {request.arch} at {request.image_size} px, "
        f"protocol {request.protocol}, fractions {fractions}, seeds {', '.join(map(str, request.seeds))}",
        title_justify="left",
    )
    table.add_column("backbone", no_wrap=True)
    table.add_column("evaluation", no_wrap=True)
    table.add_column("done", justify="right")
    table.add_column("to do", justify="right")
    planned = {method: plan.cells(method) for method in request.methods}
    some_refused = any(cell.state == "refused" for cells in planned.values() for cell in cells)
    if some_refused:
        table.add_column("refused because", overflow="fold")
    for method, cells in planned.items():
        missing = "to pre-train" if plan.method_card(method).trains else "to initialise"
        state = "there" if plan.backbone_card(method) else missing
        for pair in request.pairs:
            mine = [cell for cell in cells if cell.pair == pair]
            count = {name: str(sum(cell.state == name for cell in mine)) for name in ("done", "to do")}
            refused = next((cell.reason for cell in mine if cell.state == "refused"), "")
            name = f"{pair.dataset} {pair.task}"
            row = [f"{method}: {state}", name, count["done"], count["to do"]]
            table.add_row(*row, *([refused] if some_refused else []))
    return table
