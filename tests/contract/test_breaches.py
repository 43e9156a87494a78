"""Every check of a method catches what it is there for."""

from dataclasses import replace

import pytest
import torch

from tests.contract.plain import CARD, Plain
from vlpbench.contract.checks import METHOD_CHECKS
from vlpbench.contract.error import ContractError
from vlpbench.contract.sample import LABELS, sample_batch, sample_parts
from vlpbench.contract.verdicts import try_method
from vlpbench.errors import VlpbenchError
from vlpbench.text import span_sums


class MixedRows(Plain):
    def encode(self, batch):
        return {**super().encode(batch), "extra": self.backbone.pool(batch.images).mean(dim=0, keepdim=True)}


class UnreducedTerm(Plain):
    def loss(self, encoded, batch):
        return {"contrast": self.image_head(encoded["image"]).mean(dim=1)}


class NoTerm(Plain):
    def loss(self, encoded, batch):
        return {}


class InfiniteTerm(Plain):
    def scale(self):
        return float("nan")


class UnnamedTerm(Plain):
    def loss(self, encoded, batch):
        return {**super().loss(encoded, batch), "another": encoded["image"].mean()}


class Detached(Plain):
    def loss(self, encoded, batch):
        return {name: term.detach() for name, term in super().loss(encoded, batch).items()}


class AttachedDiagnostic(Plain):
    def loss(self, encoded, batch):
        self.diagnostics = {"mean": encoded["image"].mean()}
        return super().loss(encoded, batch)


class UnnamedNeed(Plain):
    def loss(self, encoded, batch):
        return {"contrast": super().loss(encoded, batch)["contrast"] + batch.labels[:, 1].nan_to_num().mean()}


class MisspelledNeed(Plain):
    needs = ("label",)


class SpreadOverPairs(Plain):
    def scale(self):
        return ((self.seen - self.seen.mean(dim=0)).square().sum(dim=0) / (len(self.seen) - 1)).mean()

    def loss(self, encoded, batch):
        self.seen = encoded["image"]
        return super().loss(encoded, batch)


class ThreePairsAtLeast(Plain):
    def loss(self, encoded, batch):
        return {"contrast": super().loss(encoded, batch)["contrast"] / max(0, len(batch) - 2)}


class MeanOfKnownLabels(Plain):
    card = replace(CARD, needs=("labels",))

    def loss(self, encoded, batch):
        return {"contrast": super().loss(encoded, batch)["contrast"] + batch.labels.nanmean()}


class RootOfWords(Plain):
    """Finite, but the gradient of a root is infinite where a report has no word."""

    def encode(self, batch):
        tokens = self.text(batch.reports).tokens
        words = span_sums(tokens, batch.reports.word, batch.reports.words).square().sum(dim=(1, 2)).sqrt()
        return {**super().encode(batch), "words": words}

    def loss(self, encoded, batch):
        return {"contrast": super().loss(encoded, batch)["contrast"] + encoded["words"].mean()}


class FirstMapAlone(Plain):
    def __init__(self, parts):
        super().__init__(parts)
        self.image_head = torch.nn.Linear(self.backbone.channels[0], 8)

    def encode(self, batch):
        return {**super().encode(batch), "image": self.backbone(batch.images)[0].mean(dim=(2, 3))}


class FrozenBackbone(Plain):
    def __init__(self, parts):
        super().__init__(parts)
        self.backbone.requires_grad_(False)


class SilencedBackbone(Plain):
    def encode(self, batch):
        encoded = super().encode(batch)
        return {**encoded, "image": 0 * encoded["image"]}


class CentredPairs(Plain):
    def encode(self, batch):
        encoded = super().encode(batch)
        return {**encoded, "image": encoded["image"] - encoded["image"].mean(dim=0)}


class LongestWords(Plain):
    def encode(self, batch):
        longest = int(batch.reports.word.max()) + 1
        words = span_sums(self.text(batch.reports).tokens, batch.reports.word, longest)
        return {**super().encode(batch), "words": words}


class OptionalFeature(Plain):
    def encode(self, batch):
        encoded = super().encode(batch)
        return {**encoded, "large": encoded["image"]} if len(batch) > 4 else encoded


class PastTheFeatures(Plain):
    """Hands features from `encode` to `loss` behind the core's back."""

    def encode(self, batch):
        encoded = super().encode(batch)
        self.kept = encoded["image"]
        return encoded

    def loss(self, encoded, batch):
        return {"contrast": super().loss(encoded, batch)["contrast"] + self.kept.square().mean()}


class Counting(Plain):
    def scale(self):
        self.calls = getattr(self, "calls", 0) + 1
        return float(self.calls)


class CountingInTraining(Plain):
    """State that no checkpoint keeps."""

    def scale(self):
        self.steps = getattr(self, "steps", 0) + int(self.training)
        return 1.0 + self.steps


class TiedHeads(Plain):
    def __init__(self, parts):
        super().__init__(parts)
        self.again = torch.nn.Linear(self.text.width, 8)
        self.again.weight = self.text_head.weight


class HookedBackbone(Plain):
    def __init__(self, parts):
        super().__init__(parts)
        self.backbone.model.conv1.register_forward_hook(lambda module, inputs, output: 2 * output)


class HalfPrecisionLoss(Plain):
    def loss(self, encoded, batch):
        return {"contrast": self.image_head(encoded["image"]).mean()}


class RefusedOperation(Plain):
    def loss(self, encoded, batch):
        index = torch.zeros(1, dtype=torch.long)
        encoded["image"].detach().clone().put_(index, torch.ones(1))
        return super().loss(encoded, batch)


def test_the_smallest_method_keeps_the_contract():
    for arch in ("resnet18", "vit_tiny_patch16_224"):
        assert {verdict.reason for verdict in try_method(Plain, arch)} == {""}


BREAKS = [
    (MixedRows, "terms are finite scalars", "'extra' of shape (1, 512) for 7 pairs"),
    (UnreducedTerm, "terms are finite scalars", "'contrast' has shape (7,)"),
    (NoTerm, "terms are finite scalars", "loss returns no term"),
    (InfiniteTerm, "terms are finite scalars", "'contrast' is nan on 7 pairs"),
    (
        UnnamedTerm,
        "terms are finite scalars",
        "loss returns contrast, another, and the card names contrast as losses: 2 and 1.",
    ),
    (Detached, "terms are finite scalars", "No gradient flows"),
    (AttachedDiagnostic, "terms are finite scalars", "diagnostic 'mean' is not a detached scalar"),
    (UnnamedNeed, "needs are named", "without summaries, labels, triplets, entities, text similarity"),
    (MisspelledNeed, "needs are named", "needs holds 'label'. What a corpus can offer: summaries, labels"),
    (SpreadOverPairs, "two pairs, one pair", "'contrast' is nan on 1 pair in evaluation mode"),
    (ThreePairsAtLeast, "two pairs, one pair", "'contrast' is inf on 2 pairs"),
    (MeanOfKnownLabels, "nothing known of the pairs", "'contrast' is nan where no label"),
    (RootOfWords, "nothing known of the pairs", "is not finite where no label"),
    (FirstMapAlone, "gradient reaches the backbone", "such as model.layer1.0.conv1.weight"),
    (FrozenBackbone, "gradient reaches the backbone", "Every parameter of the backbone is frozen"),
    (SilencedBackbone, "gradient reaches the backbone", "first parameter, model.conv1.weight, is zero throughout"),
    (CentredPairs, "parts put together are the whole", "another 'image' for parts of a batch"),
    (LongestWords, "parts put together are the whole", "'words' of widths"),
    (OptionalFeature, "parts put together are the whole", "encode gives image, report for a part"),
    (PastTheFeatures, "chunks give the same gradient", "Everything that reaches loss from the towers"),
    (Counting, "evaluation repeats itself", "'contrast' differs between two evaluations"),
    (TiedHeads, "backbone is saved and read back", "heads cannot be written as safetensors"),
    (HookedBackbone, "backbone is saved and read back", "other features than the trained one"),
    (CountingInTraining, "a resumed run repeats itself", "After an interruption"),
    (HalfPrecisionLoss, "towers in bfloat16", "'contrast' is torch.bfloat16 under autocast"),
]


@pytest.mark.parametrize(("kind", "check", "reason"), BREAKS, ids=[kind.__name__ for kind, *_ in BREAKS])
def test_what_breaks_the_contract_is_told(kind, check, reason):
    with pytest.raises(ContractError) as caught:
        METHOD_CHECKS[check](kind, "resnet18")
    assert reason in str(caught.value)


def test_chunks_with_another_gradient_are_told():
    """The term is the same, and half of its gradient goes past the features."""

    class HalfPast(PastTheFeatures):
        def loss(self, encoded, batch):
            kept = self.kept.mean() - self.kept.detach().mean()
            return {"contrast": Plain.loss(self, encoded, batch)["contrast"] + 100 * kept}

    with pytest.raises(ContractError, match=r"gradient of the backbone's model\..* is another one in chunks"):
        METHOD_CHECKS["chunks give the same gradient"](HalfPast, "resnet18")


def test_one_pair_may_be_refused_with_a_reason():
    class Refusing(Plain):
        def loss(self, encoded, batch):
            if len(batch) == 1:
                raise VlpbenchError("A contrast needs two pairs.")
            return super().loss(encoded, batch)

    METHOD_CHECKS["two pairs, one pair"](Refusing, "resnet18")


def test_random_draws_in_encode_are_no_breach():
    class Noisy(Plain):
        def encode(self, batch):
            encoded = super().encode(batch)
            return {**encoded, "image": encoded["image"] + torch.randn_like(encoded["image"])}

    assert {verdict.reason for verdict in try_method(Noisy, "resnet18")} == {""}


def test_any_error_is_a_verdict_with_its_place_and_the_other_checks_still_run():
    torch.use_deterministic_algorithms(False)  # earlier tests run whole benchmarks, which turn it on
    verdicts = {verdict.check: verdict for verdict in try_method(RefusedOperation, "resnet18")}
    assert list(verdicts) == list(METHOD_CHECKS)
    assert verdicts["card is complete"].state == "passed"
    failed = verdicts["terms are finite scalars"]
    assert failed.state == "failed"
    assert "RuntimeError: put_ does not have a deterministic implementation" in failed.reason
    assert f"{__file__}:" in failed.reason
    assert not torch.are_deterministic_algorithms_enabled()
    with pytest.raises(
        VlpbenchError, match=r"int \(builtins\) is neither a vlpbench\.method\.Method nor an Initialisation"
    ):
        list(try_method(int, "resnet18"))


def test_checks_leave_the_global_generator_alone():
    before = torch.get_rng_state()
    METHOD_CHECKS["a resumed run repeats itself"](Plain, "resnet18")
    assert torch.equal(torch.get_rng_state(), before)


def test_the_sample_is_the_same_at_every_call_and_has_what_checks_need():
    (first, tokeniser), (second, _) = sample_parts(Plain), sample_parts(Plain)
    for name, value in first.backbone.state_dict().items():
        assert torch.equal(value, second.backbone.state_dict()[name])
    batch = sample_batch(tokeniser)
    assert torch.equal(batch.images, sample_batch(tokeniser).images)
    assert torch.equal(batch.reports.ids[0], batch.reports.ids[4])
    assert batch.labels.isnan().any()
    assert batch.labels.shape == (7, len(LABELS))
    assert {int(value) for value in batch.triplets.unique()} == {-1, 0, 1}
    assert batch.entities.any()
    assert not batch.entities.all()
