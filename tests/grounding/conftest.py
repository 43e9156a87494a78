"""Methods that took one step of training on the tiny suite, in a work folder that all tests share."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from tests.endtoend.tiny import write_suite
from vlpbench.contract.sample import sample_batch
from vlpbench.method import Method
from vlpbench.plan import Plan, Request
from vlpbench.pretraining import run
from vlpbench.pretraining.recipe import resolve_recipe
from vlpbench.registry import REGISTRY
from vlpbench.suite import load_suite

METHODS = ("gloria", "medklip", "sista", "sista_sia")


def plan_of(folder: Path, *methods: str) -> Plan:
    """A plan on the tiny suite that lies in a folder, for methods as `resolve_request` would have them."""
    suite = load_suite(str(folder / "tiny.toml"))
    request = Request(
        suite=suite,
        methods=methods,
        every_method=False,
        tasks=(),
        arch=suite.arch,
        image_size=suite.image_size,
        fractions=suite.fractions,
        seeds=suite.seeds,
        pretrain_seed=0,
        protocol=suite.protocol,
        splits=None,
        recipe={},
        limit=None,
        data=None,
        results=folder / "results",
        work=folder / "work",
        device="cpu",
        jobs=1,
    )
    return Plan(request)


def train_a_step(plan: Plan, name: str) -> Method:
    """What `pretrain` leaves behind, after one step, and the method that it is of."""
    spec = plan.pretrain_spec(name)
    recipe = resolve_recipe(json.loads(spec.recipe))
    with run._seeded(spec.seed):
        method, tokeniser = run._build(REGISTRY.target("method", name), spec, recipe, plan.corpus)
        known = plan.corpus.rows("train")[:7]
        batch = replace(
            sample_batch(tokeniser, size=spec.image_size),
            labels=torch.from_numpy(plan.corpus.labels(known)),
            triplets=torch.from_numpy(plan.corpus.triplets(known)),
            entities=torch.from_numpy(plan.corpus.entities(known)),
        )
        optimiser = torch.optim.SGD([one for one in method.parameters() if one.requires_grad], lr=1e-3)
        torch.stack(list(method.loss(method.encode(batch), batch).values())).sum().backward()
        optimiser.step()
    folder = plan.backbone_folder(name)
    folder.mkdir(parents=True)
    run._keep_heads(method, tokeniser, folder)
    trained_on = {"fingerprint": plan.corpus.fingerprint}
    method.backbone.save(folder, {**run._origin(spec), "recipe": asdict(recipe), "corpus": trained_on})
    return method


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `tiny.toml`, and in `work` some trained methods."""
    folder = tmp_path_factory.mktemp("grounding")
    write_suite(folder)
    plan = plan_of(folder, *METHODS)
    for name in METHODS:
        train_a_step(plan, name)
    return folder


@pytest.fixture
def copied(work: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Copies the folder of a trained method, to be damaged."""
    import shutil

    def copy(name: str) -> Path:
        return Path(shutil.copytree(plan_of(work, name).backbone_folder(name), tmp_path / name))

    return copy
