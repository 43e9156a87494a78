"""PRIOR: Cheng et al., PRIOR: Prototype Representation Joint Learning from Medical Images and Reports, ICCV 2023.

v_i and t_i are an image and its report, attention-pooled; p_ik the patches of the coarsest feature map and q_ij the
sentences of the report, projected to one width d; q~_ij sentences as mixtures of learnt prototypes; x and y what
sentences see and patches are told (`sentence_alignment`); s and s' learnt scales, 100 at first; CE the cross-entropy of
rows whose own column is the positive. The last of three stages minimises the sum of

    global alignment        10 * 1/2 [ CE(s c(v, t)) + CE(s c(t, v)) ], t pooled from the q~_ij
    local image alignment   -1/2 mean_k [ c(h(p_ik), sg y_ik) + c(h(y_ik), sg p_ik) ]
    local text alignment    1/2 [ CE(s' c(q~_i, x_i)) + CE(s' c(x_i, q~_i)) ] within each report
    prototypes              10 * mean |q~ - q|
    image reconstruction    mean |decoder(p with channels dropped, y) - image|
    sentence generation     10 * mean |g - q~|, g generated from the patches and matched (`sentence_prototypes`)
    query consistency       KL(softmax(q E^T) || softmax(g E^T)), E the prototypes
    global prediction       the global contrast of t with t', pooled from the g as mixtures of prototypes

Stage 1 has the first three, of q instead of q~; stage 2 the first four. Weights and equations are those of the released
code (QtacierP/PRIOR, Apache-2.0, codes/prior/models/prior.py:390-572). Here the stages grow into one another: a share
alpha of the training steps done, 0 at first and 1 in the end, weighs the last five terms, and q + alpha (q~ - q) stands
for q~ in the first three.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vlpbench.errors import VlpbenchError
from vlpbench.method import Encoded, Method, Options, PairBatch, Parts
from vlpbench.registry import register_method
from vlpbench.text import TokenBatch, span_means
from vlpbench_methods.conditional_decoders import ImageDecoder, SentenceGenerator, reconstruction_loss
from vlpbench_methods.contrastive import cosine_logits, matching_loss, word_contrast
from vlpbench_methods.local_alignment import rows_of_words
from vlpbench_methods.patches import cells, is_plain_transformer
from vlpbench_methods.prototypes import prototypes_in_use
from vlpbench_methods.sentence_alignment import (
    AttentionPooling,
    ConditionalAttention,
    linear_projection,
    patch_agreement,
)
from vlpbench_methods.sentence_prototypes import (
    PrototypeMemory,
    generation_loss,
    in_order,
    matching_order,
    memory_loss,
    query_consistency,
)

ALIGNMENT, MEMORY, RECONSTRUCTION = STAGES = (1, 2, 3)
TERMS = {
    "global alignment": (ALIGNMENT, "global_weight"),
    "local image alignment": (ALIGNMENT, "local_image_weight"),
    "local text alignment": (ALIGNMENT, "local_text_weight"),
    "prototypes": (MEMORY, "prototype_weight"),
    "image reconstruction": (RECONSTRUCTION, "reconstruction_weight"),
    "sentence generation": (RECONSTRUCTION, "generation_weight"),
    "query consistency": (RECONSTRUCTION, "consistency_weight"),
    "global prediction": (RECONSTRUCTION, "prediction_weight"),
}


@dataclass(frozen=True)
class PriorOptions(Options):
    """Switches of PRIOR.

    Attributes:
        last_stage: of the paper's three; 1 is alignment alone, 2 with the memory of prototypes, 3 with reconstruction.
        alignment_steps: training steps of stage 1.
        ramp_steps: training steps in which alpha then grows from 0 to 1; both 0 for the last stage from the start.
        global_weight: of global alignment; the released code has 1 in stages 1 and 2.
        local_image_weight: of local image alignment.
        local_text_weight: of local text alignment.
        prototype_weight: of the distance of sentences from their mixtures of prototypes.
        reconstruction_weight: of image reconstruction.
        generation_weight: of sentence generation.
        consistency_weight: of query consistency.
        prediction_weight: of the contrast of reports with predicted reports.
        temperature: of global contrasts at the start, 1/s.
        local_temperature: of the contrast of sentences at the start, 1/s'.
        prototypes: in the memory.
        gumbel_temperature: tau of the Gumbel softmax that picks among them.
        sentence_queries: sentences generated; those of a report beyond as many are left out.
        generator_layers: of the sentence generator.
        image_dropout: share of channels that the image decoder does not see of the patches.
    """

    last_stage: int = 3
    alignment_steps: int = 2000
    ramp_steps: int = 3000
    global_weight: float = 10.0
    local_image_weight: float = 1.0
    local_text_weight: float = 1.0
    prototype_weight: float = 10.0
    reconstruction_weight: float = 1.0
    generation_weight: float = 10.0
    consistency_weight: float = 1.0
    prediction_weight: float = 1.0
    temperature: float = 0.01
    local_temperature: float = 0.01
    prototypes: int = 512
    gumbel_temperature: float = 0.9
    sentence_queries: int = 16
    generator_layers: int = 8
    image_dropout: float = 0.5

    def __post_init__(self) -> None:
        """Refuse values that mean nothing."""
        if self.last_stage not in STAGES:
            raise VlpbenchError(f"Option last_stage of prior is {self.last_stage}: expected 1, 2 or 3.")
        counted = {"alignment_steps": 0, "ramp_steps": 0, "prototypes": 1, "sentence_queries": 1, "generator_layers": 1}
        for name, least in counted.items():
            if getattr(self, name) < least:
                raise VlpbenchError(f"Option {name} of prior is {getattr(self, name)}: expected {least} or more.")
        for name in ("temperature", "local_temperature", "gumbel_temperature"):
            if getattr(self, name) <= 0:
                raise VlpbenchError(f"Option {name} of prior is {getattr(self, name):g}: expected more than 0.")
        if not 0 <= self.image_dropout < 1:
            raise VlpbenchError(
                f"Option image_dropout of prior is {self.image_dropout:g}: expected a share of channels in [0, 1)."
            )


@register_method(
    "prior",
    title="PRIOR",
    venue="ICCV'23",
    paper="https://arxiv.org/abs/2307.12577",
    licence="Apache-2.0",
    architectures=("resnet50",),
    losses=(
        "global alignment",
        "local image alignment",
        "local text alignment",
        "prototypes",
        "image reconstruction",
        "sentence generation",
        "query consistency",
        "global prediction",
    ),
    published="PRIOR",
    recipe={"learning_rate": 1e-5, "weight_decay": 1e-6, "batch_size": 588, "max_tokens": 256, "patience": 50},
    deviations=(
        "The image encoder starts from random weights, not from ImageNet's, so that rows of one table start alike.",
        "Stages follow the count of training steps, on one schedule of AdamW with warm-up and cosine, so that rows of "
        "one table share optimiser and schedule: 2000 and 3000 steps are the share of 20 and 30 of the released code's "
        "150 epochs in 50 of its epochs. It starts an optimiser with each stage, the last one at a rate of 5e-6.",
        "The second stage is a ramp from sentences to their mixtures of prototypes, and to full weight of the later "
        "terms: with all of it at once, synthetic reports came down to a handful of prototypes and stayed there.",
        "Global alignment has weight 10 throughout; the released code has 1 in the first two stages.",
        "In evaluation later terms always have full weight and no Gumbel noise, so that validation losses compare.",
        "Patches are cells of the feature map: the released code reshapes the map without moving its channels "
        "(codes/prior/encoders/image/resnet.py:94, models/prior.py:228-230), so that each patch mixes all places.",
        "Generated sentences are put in the order of their targets: the released code indexes them by the targets' "
        "numbers (codes/prior/models/prior.py:299-301), which is right only where the assignment is its own inverse.",
        "Only real sentences are matched and take part in the generation loss, its mean over them; the released code "
        "pads reports to 16 sentences with zeros and counts those (codes/prior/models/prior.py:299-309).",
        "All queries of the sentence generator see each other, as the comment in the released code says: "
        "is_decoder=True makes its self-attention causal (codes/prior/decoders/sentence.py). Its layers are torch's "
        "with BERT's shape, and start from torch's random weights.",
        "Images have three equal channels, of which one is reconstructed; the released code has one.",
        "Sentences are read in their order, since reports come tokenised: the released code shuffles them anew at "
        "every step (codes/prior/data/pretrain/mimiccxr.py:69-82).",
        "Reports of fewer than four sentences are kept; one without any counts as one sentence, its class token. "
        "Sentences beyond 16 are left out in all stages, not the third alone.",
        "The class token of a plain transformer takes the place of attention pooling, since tasks use it.",
        "Joint space, prototypes and generator are as wide as the text encoder, 768 with ClinicalBERT as in the paper; "
        "attention has 8 heads, the generator 12, or the next fewer that divide the width.",
        "Images are cropped as in the recipe, and not flipped: a flip exchanges the left and right of reports.",
    ),
    version=1,
)
class Prior(Method):
    """PRIOR."""

    options_type = PriorOptions

    def __init__(self, parts: Parts) -> None:
        """Add pooling, projections and local attention, and what the stage has of memory and decoders."""
        super().__init__(parts)
        self.switches = switches = cast(PriorOptions, parts.options)
        channels, width = self.backbone.channels[-1], self.text.width
        if not is_plain_transformer(self.backbone):
            side = math.ceil(self.backbone.preprocessing.image_size / self.backbone.strides[-1])
            self.image_pooling = AttentionPooling(channels, positions=side**2)
        self.report_pooling = AttentionPooling(width)
        self.image_projection = linear_projection(channels, width)
        self.patch_projection = linear_projection(channels, width)
        self.sentence_projection = linear_projection(width, width)
        self.local_attention = ConditionalAttention(width)
        hidden = max(1, width // 2)
        self.predictor = nn.Sequential(linear_projection(width, hidden), nn.ReLU(), nn.Linear(hidden, width))
        self.log_scale = nn.Parameter(torch.tensor(-math.log(switches.temperature)))
        self.log_local_scale = nn.Parameter(torch.tensor(-math.log(switches.local_temperature)))
        self.steps: Tensor
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        if switches.last_stage >= MEMORY:
            tau = switches.gumbel_temperature
            self.memory = PrototypeMemory(width, prototypes=switches.prototypes, temperature=tau)
        if switches.last_stage >= RECONSTRUCTION:
            queries, doublings = switches.sentence_queries, round(math.log2(self.backbone.strides[-1]))
            self.image_decoder = ImageDecoder(width, doublings=doublings, dropout=switches.image_dropout)
            self.generator = SentenceGenerator(width, queries=queries, layers=switches.generator_layers)

    @property
    def share(self) -> float:
        """Alpha of the next training step."""
        switches = self.switches
        done = int(self.steps) - switches.alignment_steps
        if switches.last_stage == ALIGNMENT or done < 0:
            return 0.0
        return min(1.0, (done + 1) / (switches.ramp_steps + 1))

    def encode(self, batch: PairBatch) -> Encoded:
        """Coarsest feature map, mean token of each sentence, and the class token of a plain transformer."""
        maps, pooled = self.backbone.maps_and_pooled(batch.images)
        text, reports = self.text(batch.reports), batch.reports
        sentences = span_means(text.tokens, reports.sentence, reports.sentences)
        said = reports.sentence_mask.any(dim=1)[:, None]
        first = torch.where(said, sentences[:, 0], text.report.to(sentences.dtype))
        encoded = {"map": maps[-1], "sentences": torch.cat([first[:, None], sentences[:, 1:]], dim=1)}
        return {**encoded, "pooled": pooled} if is_plain_transformer(self.backbone) else encoded

    def loss(self, encoded: Encoded, batch: PairBatch) -> dict[str, Float[Tensor, ""]]:
        """The terms up to the last stage, weights included; 0 where alpha is, but in evaluation."""
        alpha, mask = self.share, self._sentence_mask(batch.reports)
        stage = self.switches.last_stage if alpha or not self.training else ALIGNMENT
        places = cells(encoded["map"])
        pooled = encoded["pooled"] if "pooled" in encoded else self.image_pooling(places)
        image = self.image_projection(pooled)
        patches = self.patch_projection(places)
        sentences = self.sentence_projection(encoded["sentences"][:, : mask.shape[1]])
        remembered = self.memory(sentences) if stage >= MEMORY else sentences
        aligned = torch.lerp(sentences.to(remembered.dtype), remembered, alpha)
        report = self.report_pooling(aligned, mask)
        seen, told = self.local_attention(patches, aligned, mask)
        tau = (-self.log_local_scale).exp()
        terms = {
            "global alignment": self._contrast(image, report),
            "local image alignment": patch_agreement(patches, told, self.predictor(patches), self.predictor(told)),
            "local text alignment": word_contrast(aligned, seen, mask, mask.float(), temperature=tau),
        }
        self.diagnostics = {"alpha": torch.tensor(alpha), "scale": self.log_scale.detach().exp()}
        if stage >= MEMORY:
            terms["prototypes"] = memory_loss(remembered, sentences, mask)
            self.diagnostics["prototypes in use"] = prototypes_in_use(self.memory.logits(sentences)[mask])
        if stage >= RECONSTRUCTION:
            decoded = self.image_decoder(patches, told, height=encoded["map"].shape[2])
            terms["image reconstruction"] = reconstruction_loss(decoded, batch.images)
            terms |= self._generation(patches, sentences, remembered, report, mask)
        if self.training:
            self.steps += 1
        return self._weighted(terms, alpha if self.training else 1.0)

    def align(self, encoded: Encoded, batch: PairBatch) -> Float[Tensor, "b words patches"]:
        """Products Q q_j . K p_k / sqrt(d) of sentences, as far as they are prototypes by now, before the sigmoid."""
        patches = self.patch_projection(cells(encoded["map"]))
        sentences = self.sentence_projection(encoded["sentences"])
        if self.switches.last_stage >= MEMORY:
            sentences = torch.lerp(sentences, self.memory(sentences).to(sentences.dtype), self.share)
        return rows_of_words(self.local_attention.scores(patches, sentences), batch.reports)

    def _generation(
        self,
        patches: Float[Tensor, "b p d"],
        sentences: Float[Tensor, "b s d"],
        remembered: Float[Tensor, "b s d"],
        report: Float[Tensor, "b d"],
        mask: Bool[Tensor, "b s"],
    ) -> dict[str, Float[Tensor, ""]]:
        """The terms of sentences generated from the image alone."""
        generated = self.generator(patches)
        matched = in_order(generated, matching_order(generated, remembered, mask))
        predicted = self.report_pooling(self.memory(matched), mask)
        return {
            "sentence generation": generation_loss(matched, remembered, mask),
            "query consistency": query_consistency(self.memory.logits(sentences), self.memory.logits(matched), mask),
            "global prediction": self._contrast(predicted, report),
        }

    def _weighted(self, terms: dict[str, Float[Tensor, ""]], alpha: float) -> dict[str, Float[Tensor, ""]]:
        """All terms up to the last stage by their weights, the later ones by alpha too."""
        none, weighted = terms["global alignment"].new_zeros(()), {}
        for name, (stage, option) in TERMS.items():
            if stage <= self.switches.last_stage:
                weight = getattr(self.switches, option) * (1.0 if stage == ALIGNMENT else alpha)
                weighted[name] = weight * terms.get(name, none)
        return weighted

    def _contrast(self, first: Float[Tensor, "b d"], second: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
        """Symmetric InfoNCE at the learnt scale."""
        logits = cosine_logits(first, second, temperature=(-self.log_scale).exp())
        return (matching_loss(logits) + matching_loss(logits.T)) / 2

    def _sentence_mask(self, reports: TokenBatch) -> Bool[Tensor, "b s"]:
        """Sentences that count: the first of every report, and real ones, as many as are generated at most."""
        mask = reports.sentence_mask[:, : self.switches.sentence_queries].clone()
        mask[:, 0] = True
        return mask
