"""Which trained methods `vlpbench heatmap` is about."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console

from vlpbench.canonical import writable_folder
from vlpbench.cards import MethodCard
from vlpbench.commands.arguments import load_plugins, parse_settings
from vlpbench.commands.to_do import require_data
from vlpbench.errors import VlpbenchError
from vlpbench.grounding.phrases import Phrase
from vlpbench.method import Method
from vlpbench.plan import Plan, Request
from vlpbench.protocol import load_protocol
from vlpbench.registry import REGISTRY
from vlpbench.suite import load_suite

if TYPE_CHECKING:
    from vlpbench.pretraining.trained import Trained

ALL = "all"


@dataclass(frozen=True)
class Arguments:
    """What says which trained methods are meant, as typed; see `vlpbench run`."""

    method: str
    suite: str
    arch: str | None
    image_size: int | None
    pretrain_seed: int
    settings: tuple[str, ...]
    data: Path | None
    results: Path
    work: Path
    device: str
    plugins: tuple[Path, ...]


class UntrainedError(VlpbenchError):
    """A method whose weights are not there."""


def resolve_request(arguments: Arguments) -> Request:
    """What names the backbones, as a run would have it, with no task to evaluate."""
    from vlpbench.device import resolve_device

    load_plugins(arguments.plugins)
    suite = load_suite(arguments.suite)
    load_protocol(suite.protocol)
    if arguments.data is not None and not arguments.data.is_dir():
        raise VlpbenchError(f"--data {arguments.data} is not a folder.")
    request = Request(
        suite=suite,
        methods=_method_names(arguments.method),
        every_method=arguments.method.strip() == ALL,
        tasks=(),
        arch=arguments.arch if arguments.arch is not None else suite.arch,
        image_size=arguments.image_size if arguments.image_size is not None else suite.image_size,
        fractions=suite.fractions,
        seeds=suite.seeds,
        pretrain_seed=arguments.pretrain_seed,
        protocol=suite.protocol,
        splits=None,
        recipe=parse_settings(arguments.settings),
        limit=None,
        data=arguments.data,
        results=arguments.results,
        work=writable_folder(arguments.work),
        device=resolve_device(arguments.device),
        jobs=os.cpu_count() or 1,
    )
    require_data(request)
    return request


def _method_names(text: str) -> tuple[str, ...]:
    """Methods with a local alignment, by name or all there are."""
    if text.strip() == ALL:
        return tuple(name for name in REGISTRY.names("method") if _aligns(name))
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not names:
        raise VlpbenchError(f"Name at least one method, or all. With a local alignment: {_listed()}.")
    for name in names:
        REGISTRY.card("method", name)  # raises with near names
        if not _aligns(name):
            raise VlpbenchError(
                f"The method {name} has no local alignment: it says nothing of words and patches (Method.align). "
                f"Methods that do: {_listed()}."
            )
    return names


def _listed() -> str:
    """Methods with a local alignment; imports all there are, which takes a while."""
    return ", ".join(name for name in REGISTRY.names("method") if not _card(name).variant_of and _aligns(name))


def _aligns(name: str) -> bool:
    kind = REGISTRY.target("method", name)
    return issubclass(kind, Method) and kind.align is not Method.align


def _card(name: str) -> MethodCard:
    card = REGISTRY.card("method", name)
    return card if isinstance(card, MethodCard) else MethodCard(name)


def trained_methods(plan: Plan, arguments: Arguments, console: Console) -> Iterator[Trained]:
    """Trained methods that have a local alignment; of all there are, those that lack one are noted and left out.

    Raises:
        VlpbenchError: for one that was asked for by name, and where there is none at all.
    """
    import torch

    from vlpbench.grounding.maps import NoAlignmentError, align_phrases
    from vlpbench.pretraining.trained import load_trained

    found, device = False, torch.device(plan.request.device)
    for name in plan.request.methods:
        try:
            trained = load_trained(_folder(plan, name, arguments), plan.corpus, device=device)
            side = trained.card.preprocessing.image_size
            align_phrases(trained, np.zeros((1, side, side), dtype=np.uint8), [Phrase("chest", "chest")])
        except (NoAlignmentError, UntrainedError) as problem:
            if not plan.request.every_method:
                raise
            console.print(f"left out: {problem}", markup=False, highlight=False)
            continue
        found = True
        yield trained
    if not found:
        raise VlpbenchError("No method with a local alignment is trained here; vlpbench run --method sista trains one.")


def _folder(plan: Plan, method: str, arguments: Arguments) -> Path:
    """Where a trained method lies."""
    request = plan.request
    # Without any folder of that name the corpus, which names the folder, need not be prepared.
    near = any((request.work / "backbones").glob(f"{method}-{request.arch.replace('/', '_')}-*"))
    if near and plan.backbone_card(method) is not None:
        return plan.backbone_folder(method)
    seed = f" --pretrain-seed {request.pretrain_seed}" if request.pretrain_seed else ""
    changed = "".join(f" --set {setting}" for setting in arguments.settings)
    sized = (f" --arch {arguments.arch}" if arguments.arch else "") + (
        f" --image-size {arguments.image_size}" if arguments.image_size else ""
    )
    raise UntrainedError(
        f"There is no trained {method} of these settings in {request.work / 'backbones'}. Make it with: vlpbench run "
        f"--method {method} --suite {arguments.suite}{sized}{seed}{changed} --work {arguments.work}"
    )
