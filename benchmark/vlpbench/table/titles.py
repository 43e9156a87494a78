"""Titles: the words a table prints for the names in its records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vlpbench.cards import APPROXIMATE, EXTRA_SUPERVISION, MethodCard, TaskCard
from vlpbench.errors import VlpbenchError
from vlpbench.registry import REGISTRY
from vlpbench.suite import Suite, load_suite

ARCHITECTURES = {"resnet18": "ResNet-18", "resnet50": "ResNet-50", "vit_b16": "ViT-B/16"}
MARKS = {mark: f"pre-trained with {kind} beyond image-report pairs" for kind, mark in EXTRA_SUPERVISION.items()} | {
    APPROXIMATE: "neither code nor hyper-parameters are published: an approximation of the published idea, whose open "
    "choices were made here (vlpbench describe lists them)"
}


@dataclass(frozen=True)
class Titles:
    """Where titles are looked up; each function answers None for a name it does not know.

    Attributes:
        method: card of a method.
        task: card of a task.
        suite: a suite.
    """

    method: Callable[[str], MethodCard | None]
    task: Callable[[str], TaskCard | None]
    suite: Callable[[str], Suite | None]

    def method_card(self, name: str) -> MethodCard:
        """Card of a method; a bare one for a plug-in that is not loaded."""
        return self.method(name) or MethodCard(name)

    def metric_meaning(self, task: str, metric: str) -> str:
        """What a metric means, in the words of the task's card; "" when unknown."""
        card = self.task(task)
        return card.metrics.get(metric, "") if card else ""


def registered_titles() -> Titles:
    """Titles from the registry and the shipped suites."""
    return Titles(_method, _task, _suite)


def percent(fraction: float) -> str:
    """A label fraction as printed in a column head."""
    return f"{round(100 * fraction, 6):g} %" if fraction else "no labels"


def arch_title(name: str) -> str:
    """An architecture as printed."""
    return ARCHITECTURES.get(name, name)


def _method(name: str) -> MethodCard | None:
    try:
        card = REGISTRY.card("method", name)
    except VlpbenchError:
        return None
    return card if isinstance(card, MethodCard) else None


def _task(name: str) -> TaskCard | None:
    try:
        card = REGISTRY.card("task", name)
    except VlpbenchError:
        return None
    return card if isinstance(card, TaskCard) else None


def _suite(name: str) -> Suite | None:
    try:
        return load_suite(name)
    except VlpbenchError:
        return None
