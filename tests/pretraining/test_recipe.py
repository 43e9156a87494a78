"""Recipes and switches."""

import json

import pytest

from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench.precision import resolve_precision
from vlpbench.pretraining.recipe import Recipe, resolve_options, resolve_recipe
from vlpbench_methods.sista import SistaOptions


def test_later_layers_win_and_options_are_merged():
    recipe = resolve_recipe({"epochs": 20, "options": {"a": 1, "b": 2}}, {"options": {"b": 3}, "crop": 1})
    assert (recipe.epochs, recipe.crop, dict(recipe.options)) == (20, 1.0, {"a": 1, "b": 3})


def test_settings_of_one_method_outrank_those_of_all_in_their_layer():
    suite = {"epochs": 20, "methods": {"mgca": {"epochs": 30, "options": {"a": 2}}}}
    user = {"crop": 0.5, "methods": {"sista": {"crop": 0.9}}}
    assert [resolve_recipe(suite, user, method=name).epochs for name in ("mgca", "sista", "")] == [30, 20, 20]
    assert [resolve_recipe(suite, user, method=name).crop for name in ("mgca", "sista")] == [0.5, 0.9]
    assert dict(resolve_recipe(suite, {"options": {"a": 3, "b": 1}}, method="mgca").options) == {"a": 3, "b": 1}
    with pytest.raises(UnknownNameError, match="recipe setting named 'epoch'"):
        resolve_recipe({"methods": {"mgca": {"epoch": 30}}}, method="mgca")


def test_the_canonical_form_resolves_to_itself():
    recipe = resolve_recipe({"epochs": 20, "workers": 3, "options": {"terms": ["STA"]}})
    again = resolve_recipe(json.loads(recipe.canonical()))
    assert again.canonical() == recipe.canonical()
    assert "workers" not in json.loads(recipe.canonical())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epoch": 3}, "recipe setting named 'epoch'"),
        ({"epochs": 3.0}, "epochs = 3.0: expected int"),
        ({"epochs": 0}, "epochs = 0: expected 1 or more"),
        ({"epochs": 3}, "warmup_epochs = 10: expected 0 to epochs = 3"),
        ({"batch_size": 1}, "batch_size = 1"),
        ({"learning_rate": 0.0}, "learning_rate = 0"),
        ({"lowest_learning_rate": 1.0}, "lowest_learning_rate = 1"),
        ({"crop": 0.0}, "crop = 0.0"),
        ({"chunk": 1}, "chunk = 1: expected 0 for whole batches"),
        ({"beta1": 1.0}, "beta1 = 1"),
        ({"clip": -1.0}, "clip = -1"),
        ({"precision": "half"}, "precision = 'half'"),
    ],
)
def test_what_does_not_fit_is_named(given, message):
    with pytest.raises(VlpbenchError, match=message):
        resolve_recipe(given)


def test_options_become_the_switches_of_the_method():
    options = resolve_options("sista", SistaOptions, {"terms": ["SIA", "STA"], "temperature": 1})
    assert options == SistaOptions(terms=("SIA", "STA"), temperature=1.0)
    with pytest.raises(UnknownNameError, match=r"option of sista named 'temprature'.*Near: temperature"):
        resolve_options("sista", SistaOptions, {"temprature": 1})
    with pytest.raises(VlpbenchError, match="Option of sista final_norm = 'yes': expected bool"):
        resolve_options("sista", SistaOptions, {"final_norm": "yes"})


def test_precision_is_what_was_asked_for_or_what_the_device_has(monkeypatch):
    import torch

    cpu = torch.device("cpu")
    assert resolve_precision("float32", cpu) == torch.float32
    assert resolve_precision("bfloat16", cpu) == torch.bfloat16
    for probe in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, probe, lambda: False)
    assert resolve_precision("auto", cpu) == torch.float32
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    assert resolve_precision("auto", cpu) == torch.bfloat16
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported")
    assert resolve_precision("auto", cpu) == torch.float32


def test_the_defaults_are_the_papers():
    recipe = Recipe()
    assert (recipe.epochs, recipe.batch_size, recipe.learning_rate, recipe.weight_decay) == (50, 256, 2e-5, 0.05)
    assert (recipe.warmup_epochs, recipe.lowest_learning_rate, recipe.patience) == (10, 1e-8, 5)
