"""MMEngine's visualisation back ends, set up to write below one folder and to send nothing unless they are told to.

What each tracker reads from its own environment variables comes first: WANDB_MODE, WANDB_DIR and WANDB_PROJECT,
MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from textwrap import indent
from typing import Any, Protocol

from mmengine.visualization import MLflowVisBackend, TensorboardVisBackend, WandbVisBackend

PROJECT = "vlpbench"


class Backend(Protocol):
    """One run in one tracker."""

    def add_scalars(self, scalar_dict: Mapping[str, float], step: int) -> None:
        """Log values of a step."""
        ...

    def finish(self, *, failed: bool) -> None:
        """End the run, so that everything is written."""
        ...


def open_backend(tracker: str, folder: Path, *, group: str, name: str, config: Mapping[str, Any]) -> Backend:
    """Start a run in a tracker.

    Args:
        tracker: "tensorboard", "wandb" or "mlflow".
        folder: of all trackers.
        group: kind of work.
        name: of the run.
        config: what it is, in plain data.
    """
    if tracker == "tensorboard":
        return TensorBoardRun(folder / tracker / group / name, config)
    if tracker == "wandb":  # it makes a folder of its name
        return WandbRun(folder, group=group, name=name, config=config)
    return MLflowRun(folder / tracker, group=group, name=name, config=config)


class TensorBoardRun(TensorboardVisBackend):
    """Event files in a folder of the run; the folder is the run's name in TensorBoard."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        """Start, with the configuration as a text."""
        super().__init__(str(folder))
        text = json.dumps(config, indent=1, sort_keys=True, ensure_ascii=False)
        self.experiment.add_text("config", indent(text, "    "))  # four spaces: code, in Markdown

    def finish(self, *, failed: bool) -> None:
        """Write what is left."""
        del failed
        self.close()


class WandbRun(WandbVisBackend):
    """A run of Weights & Biases, offline unless WANDB_MODE says otherwise; `wandb sync` sends it later."""

    def __init__(self, folder: Path, *, group: str, name: str, config: Mapping[str, Any]) -> None:
        """Start; MMEngine would send the source code along with a configuration that is added later."""
        import wandb

        mode = os.environ.get("WANDB_MODE", "offline")
        if mode != "online":
            os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        kept = Path(os.environ.get("WANDB_DIR", folder))
        kept.mkdir(parents=True, exist_ok=True)
        given = {
            "mode": mode,
            "project": os.environ.get("WANDB_PROJECT", PROJECT),
            "group": group,
            "name": name,
            "config": dict(config),
            "settings": wandb.Settings(console="off", silent=True, disable_code=True),
        }
        axes = [{"name": "step"}, {"name": "*", "step_metric": "step"}]
        super().__init__(str(kept), init_kwargs=given, define_metric_cfg=axes)
        _ = self.experiment

    def add_scalars(self, scalar_dict: Mapping[str, float], step: int = 0) -> None:
        """Log values; MMEngine leaves the step out."""
        super().add_scalars({**scalar_dict, "step": step})

    def finish(self, *, failed: bool) -> None:
        """End the run."""
        self.experiment.finish(exit_code=1 if failed else 0)


class MLflowRun(MLflowVisBackend):
    """A run of MLflow: in files, unless MLFLOW_TRACKING_URI names a server or a data base."""

    def __init__(self, folder: Path, *, group: str, name: str, config: Mapping[str, Any]) -> None:
        """Start; the slim package of MLflow has no data base, and asks for consent to files."""
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        if uri is None:
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
            os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        super().__init__(
            str(folder.absolute()),
            exp_name=os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT),
            run_name=name,
            tags={"group": group},
            params={key: str(value) for key, value in self._flatten(dict(config)).items()},
            tracking_uri=uri,
        )
        level = logging.root.manager.disable
        logging.disable(logging.WARNING)  # MMEngine asks with every run whether a server is there
        try:
            _ = self.experiment
        finally:
            logging.disable(level)
            if uri is None:  # MLflow puts its choice there, where it would count as the user's
                os.environ.pop("MLFLOW_TRACKING_URI", None)

    def add_scalars(self, scalar_dict: Mapping[str, float], step: int = 0) -> None:
        """Log values under names that MLflow takes; MMEngine hides its refusals."""
        named = {re.sub(r"[^\w\-. :/]", "_", name): value for name, value in scalar_dict.items()}
        self.experiment.log_metrics(named, step)

    def finish(self, *, failed: bool) -> None:
        """End the run; MMEngine would upload the files of a folder that there is not."""
        self.experiment.end_run("FAILED" if failed else "FINISHED")
