"""Training a method with MMEngine's Runner."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

from vlpbench.data.corpus import Corpus
from vlpbench.method import Method
from vlpbench.pretraining.hooks import BEST, LAST, Account, Checkpoints, Guard, History, Journal, Report
from vlpbench.pretraining.loader import Pairs, TrainingOrder, ValidationOrder, batches
from vlpbench.pretraining.model import MeanTerms, PairModel
from vlpbench.pretraining.recipe import Recipe
from vlpbench.pretraining.runner import QuietRunner, no_traces
from vlpbench.pretraining.similarity import report_vectors
from vlpbench.tokens import Tokeniser
from vlpbench.tracking.trackers import Log, no_log

UNWANTED_HOOKS: dict[str, Any] = dict.fromkeys(("runtime_info", "timer", "sampler_seed", "logger", "checkpoint"))


def train(
    method: Method,
    tokeniser: Tokeniser,
    corpus: Corpus,
    recipe: Recipe,
    *,
    name: str,
    seed: int,
    precision: torch.dtype,
    folder: Path,
    report: Report,
    log: Log = no_log,
) -> History:
    """Train a method in place and leave it with the weights of the lowest validation loss.

    Args:
        method: on its device.
        tokeniser: of the method's text tower.
        corpus: pairs of train and val.
        recipe: of optimisation and views.
        name: of the experiment, for MMEngine.
        seed: of order, views and dropout.
        precision: of the towers.
        folder: of checkpoints; where it holds one, training carries on from there.
        report: told step, steps and a note.
        log: told losses by name, and the step they are of.

    Raises:
        VlpbenchError: when a loss is no number.
    """
    history = History()
    experiment = f"{name}-{time.time_ns()}"
    device = next(method.parameters()).device
    with no_traces(experiment, device):
        train_pairs, val_pairs = _pairs(method, tokeniser, corpus, recipe)
        order = TrainingOrder(len(train_pairs), batch_size=recipe.batch_size, seed=seed)
        validation = ValidationOrder(len(val_pairs), batch_size=recipe.batch_size, seed=seed)
        last = folder / LAST
        runner = QuietRunner(
            PairModel(method, recipe, precision=precision).to(device),
            work_dir=str(folder),
            train_dataloader=batches(train_pairs, order, workers=recipe.workers),
            train_cfg={"by_epoch": True, "max_epochs": recipe.epochs, "val_interval": 1},
            val_dataloader=batches(val_pairs, validation, workers=recipe.workers),
            val_cfg={},
            val_evaluator={"type": MeanTerms},
            optim_wrapper=_optimiser(recipe),
            param_scheduler=_schedule(recipe, len(order)),
            default_hooks=dict(UNWANTED_HOOKS),
            custom_hooks=[
                Guard(folder),
                Journal(history, lambda: method.diagnostics, report),
                Account(history, log),
                Checkpoints(history, folder, patience=recipe.patience),
            ],
            randomness={"seed": seed},
            experiment_name=experiment,
            resume=last.is_file(),
            load_from=str(last) if last.is_file() else None,
        )
        runner.train()
        method.load_state_dict(torch.load(folder / BEST, map_location=device, weights_only=True))
    return history


def _pairs(method: Method, tokeniser: Tokeniser, corpus: Corpus, recipe: Recipe) -> tuple[Pairs, Pairs]:
    """Pairs of both splits, with report vectors where the method needs them."""
    if "text similarity" not in method.needs:
        return Pairs(corpus, "train", tokeniser), Pairs(corpus, "val", tokeniser)
    train, val = (corpus.reports(corpus.rows(split)) for split in ("train", "val"))
    vectors = report_vectors(train, val, recipe, method.text, tokeniser)
    return Pairs(corpus, "train", tokeniser, vectors[0]), Pairs(corpus, "val", tokeniser, vectors[1])


def _optimiser(recipe: Recipe) -> dict[str, Any]:
    """AdamW over all parameters, weight decay included (SISTA section IV.A)."""
    return {
        "type": "OptimWrapper",
        "optimizer": {
            "type": "AdamW",
            "lr": recipe.learning_rate,
            "betas": (recipe.beta1, 0.999),
            "weight_decay": recipe.weight_decay,
            "fused": True,
        },
        **({"clip_grad": {"max_norm": recipe.clip}} if recipe.clip > 0 else {}),
    }


def _schedule(recipe: Recipe, steps: int) -> list[dict[str, Any]]:
    """Linear warm-up, then a cosine, both stepped after every batch."""
    warm, end = recipe.warmup_epochs * steps, recipe.epochs * steps
    schedule: list[dict[str, Any]] = []
    if warm:
        lowest = recipe.lowest_learning_rate / recipe.learning_rate
        schedule.append({"type": "LinearLR", "start_factor": lowest, "by_epoch": False, "begin": 0, "end": warm})
    if end > warm:
        schedule.append(
            {
                "type": "CosineAnnealingLR",
                "eta_min": recipe.lowest_learning_rate,
                "by_epoch": False,
                "begin": warm,
                "end": end,
                "T_max": end - warm,
            }
        )
    return schedule
