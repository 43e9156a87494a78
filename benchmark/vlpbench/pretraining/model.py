"""A method as MMEngine's Runner trains it: views, mixed precision and the sum of the terms."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseDataPreprocessor, BaseModel
from torch import Tensor, nn

from vlpbench.method import Method, PairBatch, total
from vlpbench.pretraining.global_batch import average_gradients, backward_in_chunks, compute_terms
from vlpbench.pretraining.loader import RawBatch
from vlpbench.pretraining.recipe import Recipe
from vlpbench.pretraining.views import Views

MEASURED = "measured: "


class PairPreprocessor(BaseDataPreprocessor):
    """Moves a raw batch to the device and makes the two views there."""

    def __init__(self, method: Method, views: Views) -> None:
        """Take the recipe's views, and the method for its backbone's normalisation."""
        super().__init__()
        # In a tuple, so that the method is not registered as a part of its own preprocessor.
        self._method = (method,)
        self._views = views

    def forward(self, data: Any, training: bool = False) -> dict[str, Any]:
        """Views of a `RawBatch`, with fresh random crops in training, with the central crop otherwise."""
        images = data.images.to(self.device)
        plain = self._views.plain(images, data.seed if training else None)
        augmented = self._views.augmented(images, data.seed)
        batch = PairBatch(
            images=self._normalised(plain),
            augmented=self._normalised(augmented),
            reports=data.reports.to(self.device),
            summaries=data.summaries.to(self.device),
            labels=data.labels.to(self.device),
            triplets=data.triplets.to(self.device),
            entities=data.entities.to(self.device),
            report_vectors=data.report_vectors.to(self.device),
        )
        return {"batch": batch, "seed": data.seed}

    def _normalised(self, view: Float[Tensor, "b h w"]) -> Float[Tensor, "b 3 h w"]:
        (method,) = self._method
        return method.backbone.normalise(view).contiguous(memory_format=torch.channels_last)


class PairModel(BaseModel):
    """Method and preprocessor in one module."""

    def __init__(self, method: Method, recipe: Recipe, *, precision: torch.dtype) -> None:
        """Wrap a method.

        Args:
            method: what is trained.
            recipe: of the views.
            precision: of the towers' autocast, float32 for none; losses see to their own.
        """
        super().__init__(data_preprocessor=PairPreprocessor(method, Views(recipe)))
        self.method = method
        self._precision = precision
        self._chunk = recipe.chunk

    def init_weights(self) -> None:
        """Leave the weights as the method made them."""

    def train_step(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, data: RawBatch, optim_wrapper: Any
    ) -> dict[str, Tensor]:
        """One optimiser step over the global batch; the terms for the log."""
        inputs = self.data_preprocessor(data, True)
        batch, seed = inputs["batch"], inputs["seed"]
        optim_wrapper.zero_grad()
        if 0 < self._chunk < len(batch):
            terms = backward_in_chunks(self.method, batch, chunk=self._chunk, seed=seed, precision=self._precision)
        else:
            terms = compute_terms(self.method, batch, seed=seed, precision=self._precision)
            total(terms).backward()  # type: ignore[no-untyped-call]
        average_gradients(self.method)
        optim_wrapper.step()
        return self.parse_losses(terms)[1]

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, batch: PairBatch, seed: int, mode: str = "predict"
    ) -> Any:
        """Terms of a validation batch, as one entry of plain numbers for `MeanTerms`."""
        del mode
        with _batch_statistics(self._heads()):
            terms = compute_terms(self.method, batch, seed=seed, precision=self._precision)
        _, values = self.parse_losses(terms)
        measured = {f"{MEASURED}{name}": value for name, value in self.method.diagnostics.items()}
        return [{"pairs": len(batch), "terms": values, "measured": measured}]

    def parse_losses(self, losses: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Sum of the terms, and the terms for the log."""
        values = torch.stack([value.float() for value in losses.values()])
        return values.sum(), dict(zip(losses, values.detach().cpu(), strict=True))

    def _heads(self) -> list[nn.Module]:
        """Batch normalisations outside the towers."""
        return [
            module
            for name, module in self.method.named_modules()
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and not name.startswith(("backbone.", "text."))
        ]


class MeanTerms(BaseMetric):
    """Means over validation pairs: terms, their sum as "loss", and the method's diagnostics, marked by `MEASURED`."""

    def process(self, data_batch: RawBatch, data_samples: Any) -> None:
        """Keep the terms of one batch."""
        del data_batch
        self.results.extend(data_samples)

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        """Means by term; "loss" is their sum."""
        pairs = sum(entry["pairs"] for entry in results)
        terms, measured = (
            {
                name: sum(entry["pairs"] * float(entry[kind][name]) for entry in results) / pairs
                for name in results[0][kind]
            }
            for kind in ("terms", "measured")
        )
        return {**terms, "loss": sum(terms.values()), **measured}


@contextmanager
def _batch_statistics(norms: list[Any]) -> Iterator[None]:
    """Let heads normalise a validation batch by its own statistics, as in training, and learn nothing from it.

    Running averages lag behind a text tower that learns fast: after a first epoch all projected reports looked alike,
    SISTA took them for pseudo-positives, and that epoch had the lowest validation loss of all. The image tower is
    validated with its running averages, since it is used with them.
    """
    momenta = [norm.momentum for norm in norms]
    try:
        for norm in norms:
            norm.momentum = 0.0
            norm.train()
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()
