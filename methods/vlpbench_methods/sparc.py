"""SPARC: Bica et al., Improving Fine-Grained Understanding in Image-Text Pre-Training, arXiv 2401.09865.

The paper's section 3, with linear adaptors g_v and g_t, one non-linear layer h_v, P patches v_p = g_v(.) and L tokens
t_l = g_t(.) of a pair:

    s_lp = t_l . v_p, scaled to [0, 1] over the patches of each token by its minimum and maximum
    s~_lp = s_lp where s_lp >= sigma, otherwise 0;  sigma = 1/P
    c_l = sum_p v_p s~_lp / sum_r s~_lr                            (language-grouped vision embedding)
    L_f = -1/(2B) sum_i 1/L_i sum_l [ log softmax_k(phi(c_l, t_k) / tau)_l + log softmax_k(phi(t_l, c_k) / tau)_l ]
    L_g = symmetric InfoNCE over the batch of g_v(h_v(mean of patches)) and g_t(mean of tokens)
    L = 0.5 L_g + lambda_f L_f

phi is the cosine and tau is learned. No code was released; Appendix C of the paper has pseudo-code, whose mean is over
all tokens of the batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench.method import Encoded, Method, Options, PairBatch, Parts
from vlpbench.registry import register_method
from vlpbench.text import TokenBatch, span_means
from vlpbench_methods.contrastive import cosine_logits, matching_loss, sparse_grouping, wide, word_contrast
from vlpbench_methods.patches import cells, local_map

REDUCTIONS = {"report": "report", "token": "word"}
SHARPEST = 0.01


@dataclass(frozen=True)
class SparcOptions(Options):
    """Switches of SPARC.

    Attributes:
        global_weight: of L_g.
        local_weight: lambda_f, of L_f; the paper sweeps 0.5, 1, 5 and 10.
        threshold: sigma, smallest scaled similarity of a patch that is kept; 0 for one over the number of patches.
        reduction: of L_f: "report", the mean over the tokens of each report and then over reports, as in the equations;
            or "token", the mean over all tokens of the batch, as in the pseudo-code.
        temperature: tau at the start.
        learned_temperature: whether tau is trained.
        special_tokens: whether the class and separator tokens count among the tokens, as all but padding does in the
            pseudo-code.
        projected: width of the joint space.
        local_stride: of the feature map whose cells are the patches; 0 for the second coarsest (layer3 of a ResNet), or
            the last one of a plain transformer.
    """

    global_weight: float = 0.5
    local_weight: float = 1.0
    threshold: float = 0.0
    reduction: str = "report"
    temperature: float = 0.07
    learned_temperature: bool = True
    special_tokens: bool = True
    projected: int = 512
    local_stride: int = 0

    def __post_init__(self) -> None:
        """Refuse what means nothing."""
        if self.reduction not in REDUCTIONS:
            raise UnknownNameError("reduction of sparc", self.reduction, REDUCTIONS)
        if not 0 <= self.threshold <= 1:
            raise VlpbenchError(
                f"Option threshold of sparc is {self.threshold:g}: expected 0 to 1, the range of scaled similarities."
            )
        if self.temperature < SHARPEST:
            raise VlpbenchError(f"Option temperature of sparc is {self.temperature:g}: expected {SHARPEST} or more.")


@register_method(
    "sparc",
    title="SPARC",
    venue="arXiv'24",
    paper="https://arxiv.org/abs/2401.09865",
    licence="none found",
    architectures=("vit_b16",),
    losses=("global", "fine-grained"),
    deviations=(
        "lambda_f is 1: the paper sweeps 0.5, 1, 5 and 10.",
        "The global image feature is h_v and g_v of the pooled feature that the backbone is evaluated by (a ResNet's "
        "average of its last map, a transformer's class token), not of the mean of the patches: the last stage of a "
        "ResNet, or the class token, would go untrained.",
        "Patches are the cells of the second coarsest map of a ResNet, as for SISTA, so that the two differ in their "
        "terms alone; with local_stride 32 global and local features come from one map, as in the paper.",
        "h_v is a linear layer to the width of the patches and a ReLU; the paper says one non-linear layer.",
        "Tokens are all that is not padding, as in the pseudo-code, so with a BERT its class and separator tokens are "
        "among them; a switch leaves them out, of the mean of tokens too.",
        "Where a token is equally similar to all patches, 0/0 in the equations, all count alike: the paper's text "
        "claims the weight 1/P for that case.",
        "One temperature serves both terms; its start of 0.07 and its floor of 0.01 are CLIP's (Radford et al. 2021, "
        "section 2.5), since the paper gives neither.",
        "The text tower is the recipe's BERT, not a transformer trained from scratch; the image tower starts from "
        "random weights, as in the paper.",
        "AdamW with the recipe's rate, decay and batch size: the paper sweeps rate and decay at batches of 16,348, too "
        "large for report corpora. Reports are cut at the recipe's length, not at the 55 tokens of web captions.",
    ),
)
class Sparc(Method):
    """SPARC."""

    options_type = SparcOptions

    def __init__(self, parts: Parts) -> None:
        """Add the adaptors g_v and g_t, the layer h_v and the temperature."""
        super().__init__(parts)
        self.switches = cast(SparcOptions, parts.options)
        self.local_map = local_map(self.backbone, self.switches.local_stride)
        width = self.backbone.channels[self.local_map]
        self.image_layer = nn.Sequential(nn.Linear(self.backbone.pooled, width), nn.ReLU())
        self.image_adaptor = nn.Linear(width, self.switches.projected)
        self.text_adaptor = nn.Linear(self.text.width, self.switches.projected)
        self.log_scale = nn.Parameter(
            torch.tensor(math.log(1 / self.switches.temperature)), requires_grad=self.switches.learned_temperature
        )

    def encode(self, batch: PairBatch) -> Encoded:
        """Pooled images, patches and tokens."""
        maps, pooled = self.backbone.maps_and_pooled(batch.images)
        return {"image": pooled, "patches": cells(maps[self.local_map]), "tokens": self.text(batch.reports).tokens}

    def loss(self, encoded: Encoded, batch: PairBatch) -> dict[str, Float[Tensor, ""]]:
        """L_g and L_f, each with its weight."""
        switches, mask, temperature = self.switches, self._token_mask(batch.reports), self._clipped_temperature()
        images = self.image_adaptor(self.image_layer(encoded["image"]))
        reports = self.text_adaptor(_masked_mean(encoded["tokens"], mask))
        logits = cosine_logits(images, reports, temperature=temperature)
        patches, tokens = self.image_adaptor(encoded["patches"]), self.text_adaptor(encoded["tokens"])
        threshold = switches.threshold if switches.threshold > 0 else 1 / patches.shape[1]
        grouped, kept = sparse_grouping(tokens, patches, threshold=threshold, normalised=False)
        self.diagnostics = {
            "kept patch share": kept[mask].float().mean().nan_to_num(),
            "temperature": temperature.detach(),
        }
        reduction, uniform = REDUCTIONS[switches.reduction], mask.to(grouped.dtype)
        fine = word_contrast(tokens, grouped, mask, uniform, temperature=temperature, reduction=reduction)
        return {
            "global": switches.global_weight * (matching_loss(logits) + matching_loss(logits.T)) / 2,
            "fine-grained": switches.local_weight * fine,
        }

    def align(self, encoded: Encoded, batch: PairBatch) -> Float[Tensor, "b words patches"] | None:
        """Products s_lp of tokens and patches before they are scaled, as means over the tokens of each word."""
        if self.switches.local_weight == 0:
            return None
        tokens, patches = self.text_adaptor(encoded["tokens"]), self.image_adaptor(encoded["patches"])
        return span_means(wide(tokens) @ wide(patches).transpose(1, 2), batch.reports.word, batch.reports.words)

    def _clipped_temperature(self) -> Float[Tensor, ""]:
        """Tau; the parameter itself is clipped, as CLIP's is, so that its gradient can lead it back."""
        with torch.no_grad():
            self.log_scale.clamp_(max=-math.log(SHARPEST))
        return (-self.log_scale).exp()

    def _token_mask(self, reports: TokenBatch) -> Bool[Tensor, "b t"]:
        """True for tokens that take part; special tokens belong to no sentence."""
        return reports.mask if self.switches.special_tokens else reports.mask & (reports.sentence >= 0)


def _masked_mean(tokens: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"]) -> Float[Tensor, "b d"]:
    """Mean of the tokens of each report that count, 0 where none does."""
    summed = torch.where(mask[:, :, None], wide(tokens), 0.0).sum(dim=1)
    return summed / mask.sum(dim=1, keepdim=True).clamp(min=1)
