"""Linear classification on frozen pooled features; torch is imported where it trains, since resampling needs none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from vlpbench.errors import VlpbenchError
from vlpbench.protocol import ClassificationSettings, Settings
from vlpbench.registry import register_task
from vlpbench.task import Cell, Task, TaskResult
from vlpbench_tasks.label_metrics import count, score, tabulate
from vlpbench_tasks.weighted_labels import resample, strata

if TYPE_CHECKING:
    from torch import Tensor

    from vlpbench.backbone import BackboneCard
    from vlpbench_tasks.linear import Chosen, Examples, Features

# the headline of classes that exclude each other
EXCLUSIVE = "accuracy"


@register_task(
    "classification",
    title="Linear classification",
    summary="A linear layer on the pooled feature of the frozen backbone, AdamW, lowest validation loss.",
    metrics={
        "auroc": "area under the ROC curve, mean over the labels that have both classes in the test split",
        "auroc_<label>": "area under the ROC curve of one label against the rest",
        "average_precision": "average precision, mean over the same labels as auroc",
        "accuracy": "share of images whose most probable class is right; exclusive classes only",
        "balanced_accuracy": "mean recall of the classes that occur in the test split; exclusive classes only",
    },
    version=1,
)
class Classification(Task):
    """Linear probing: independent labels when the pair's metric is "auroc", exclusive classes when it is "accuracy"."""

    def refuses(self, backbone: BackboneCard) -> str | None:
        """Every backbone has a pooled feature."""
        return None

    def run(self, cell: Cell) -> TaskResult:
        """Train the layer on the label fraction and evaluate it on the test rows.

        Raises:
            VlpbenchError: if the fraction lacks a class, or labels that should exclude each other do not.
        """
        from vlpbench_tasks.linear import fit_linear, masked_bce, softmax_cross_entropy

        settings = _own(cell.settings)
        if settings.headline != "macro":
            raise VlpbenchError(
                f"[classification] headline = {settings.headline!r}: AUROC is averaged as 'macro' only."
            )
        exclusive = cell.dataset.pair.metric == EXCLUSIVE
        _check_labels(cell, settings, exclusive=exclusive)
        train, val, test = _features(cell, settings)
        chosen = fit_linear(
            train,
            val,
            settings,
            loss=softmax_cross_entropy if exclusive else masked_bce,
            seed=cell.seed,
            report=cell.report,
        )
        predictions = _predict(cell, chosen, test, exclusive=exclusive)
        return TaskResult(
            metrics=self.score(predictions, settings, cell.dataset.pair.metric),
            headline=cell.dataset.pair.metric,
            floors={"majority": self.score(_majority(cell, predictions), settings, cell.dataset.pair.metric)},
            counts={
                "train_images": len(cell.train_rows),
                "val_images": len(cell.val_rows),
                **_train_positives(cell),
                **count(predictions),
            },
            selection={
                "rule": "lowest validation loss",
                "step": chosen.step,
                "value": chosen.value,
                "steps": chosen.steps,
            },
            predictions=predictions,
        )

    def score(self, predictions: pd.DataFrame, settings: Settings | None, headline: str) -> dict[str, float]:
        """Every metric of the card; classes exclude each other where accuracy is the headline.

        Raises:
            VlpbenchError: if a probability is not a number.
        """
        _own(settings)
        return score(predictions, exclusive=headline == EXCLUSIVE)

    def images(self, predictions: pd.DataFrame) -> pd.DataFrame:
        """Images in the order of the table.

        The stratum is the class where classes exclude each other, else whether any label is true.
        """
        return pd.DataFrame({"image_id": predictions["image_id"].to_numpy(), "stratum": strata(predictions)})

    def resample(
        self,
        predictions: pd.DataFrame,
        settings: Settings | None,
        metric: str,
        weights: Int[np.ndarray, "samples images"],
    ) -> Float[np.ndarray, " samples"]:
        """A metric for each sample; labels without both classes in a sample are left out of its mean.

        Raises:
            VlpbenchError: for a metric that is not the card's, or if a probability is not a number.
        """
        _own(settings)
        return resample(predictions, metric, weights)


def _own(settings: Settings | None) -> ClassificationSettings:
    if not isinstance(settings, ClassificationSettings):
        raise TypeError(f"classification was given {type(settings).__name__}")
    return settings


def _check_labels(cell: Cell, settings: ClassificationSettings, *, exclusive: bool) -> None:
    """Every label needs a positive and a negative in the fraction; of exclusive classes an image has exactly one.

    A uniform fraction is trained on as it was drawn, but of every label something must be known.
    """
    names, where = cell.dataset.label_names, f"classification of {cell.dataset.name!r}"
    if exclusive:
        for split, rows in (("training fraction", cell.train_rows), ("val", cell.val_rows), ("test", cell.test_rows)):
            sums = cell.dataset.labels(rows).sum(axis=1)
            wrong = np.flatnonzero(sums != 1)
            if len(wrong):
                image = cell.dataset.image_ids(rows[wrong[:1]])[0]
                raise VlpbenchError(
                    f"{where}, {split}: image {image!r} is not in exactly one of {list(names)}, as the metric "
                    "accuracy expects "
                    f"({len(wrong)} such images). Mend the label columns, or use the metric auroc."
                )
    train = cell.dataset.labels(cell.train_rows)
    for position, name in enumerate(names):
        positives, negatives = int((train[:, position] == 1).sum()), int((train[:, position] == 0).sum())
        if positives + negatives == 0 or (settings.sampling == "stratified" and 0 in (positives, negatives)):
            raise VlpbenchError(
                f"{where}: the training fraction of {len(train)} images has {positives} positive and {negatives} "
                "negative images "
                f"of {name!r}; it needs at least one of each. Use a larger fraction, or leave the label out."
            )


def _features(cell: Cell, settings: ClassificationSettings) -> tuple[Examples, Features, Features]:
    """Features and targets of train, val and test; scaled by the mean and standard deviation of the training rows."""
    import torch

    from vlpbench_tasks.linear import Features
    from vlpbench_tasks.schedule import whole_batches

    val_rows = whole_batches(cell.val_rows, settings.batch_size) if settings.drop_last else cell.val_rows
    if settings.augmentation != "none":
        return _augmented(cell, settings, val_rows)
    parts = [
        Features(_tensor(cell, cell.features.pooled(rows)), _tensor(cell, cell.dataset.labels(rows)))
        for rows in (cell.train_rows, val_rows, cell.test_rows)
    ]
    if settings.standardise:
        mean, std = parts[0].inputs.mean(dim=0), parts[0].inputs.std(dim=0, correction=0)
        # a feature that never varies in a small fraction would be blown up by its rounding error
        std = torch.where(std > 1e-6, std, torch.ones_like(std))
        parts = [Features((part.inputs - mean) / std, part.targets) for part in parts]
    return parts[0], parts[1], parts[2]


def _augmented(
    cell: Cell, settings: ClassificationSettings, val_rows: Int[np.ndarray, " val"]
) -> tuple[Examples, Features, Features]:
    """Training images that change from one epoch to the next, and the middle of val and test images."""
    from vlpbench_tasks.augmented_features import AugmentedFeatures, pool_centres
    from vlpbench_tasks.linear import Features

    if settings.standardise:
        raise VlpbenchError(
            "[classification] standardise = true goes with augmentation = 'none' only: features of augmented images "
            "have no one mean and standard deviation."
        )
    val, test = (
        Features(pool_centres(cell, rows), _tensor(cell, cell.dataset.labels(rows)))
        for rows in (val_rows, cell.test_rows)
    )
    targets = _tensor(cell, cell.dataset.labels(cell.train_rows))
    return AugmentedFeatures(cell, settings.augmentation, targets), val, test


def _tensor(cell: Cell, values: Float[np.ndarray, "n c"]) -> Tensor:
    import torch

    return torch.from_numpy(values.astype(np.float32)).to(cell.device)


def _predict(cell: Cell, chosen: Chosen, test: Features, *, exclusive: bool) -> pd.DataFrame:
    import torch

    with torch.no_grad():
        # in float64, so that confident predictions of different images do not become ties
        logits = chosen.layer(test.inputs).double()
        probabilities = logits.softmax(dim=1) if exclusive else logits.sigmoid()
    return tabulate(
        cell.dataset.image_ids(cell.test_rows),
        cell.dataset.label_names,
        probabilities.cpu().numpy(),
        cell.dataset.labels(cell.test_rows),
    )


def _majority(cell: Cell, predictions: pd.DataFrame) -> pd.DataFrame:
    """The same table with every image given the prevalences of the training fraction."""
    constant = predictions.copy()
    for name, share in zip(
        cell.dataset.label_names, np.nanmean(cell.dataset.labels(cell.train_rows), axis=0), strict=True
    ):
        constant[f"p:{name}"] = float(share)
    return constant


def _train_positives(cell: Cell) -> dict[str, int]:
    sums = np.nansum(cell.dataset.labels(cell.train_rows), axis=0)
    return {f"train_positives:{name}": int(total) for name, total in zip(cell.dataset.label_names, sums, strict=True)}
