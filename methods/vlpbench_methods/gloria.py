"""GLoRIA: Huang et al., GLoRIA: A Multimodal Global-Local Representation Learning Framework, ICCV 2021.

As the released code has it (gloria/loss/gloria_loss.py). v_i is a linear projection of the pooled image, r_ip of its
patches, without bias; w_kl are words, sums of their sub-words over the last four layers, and t_k their mean. c is the
cosine, CE_row(Z) = mean_i [-Z_ii + log sum_k exp Z_ik], CE_col(Z) = CE_row(Z^T).

    G_ik = lambda_3 c(v_i, t_k)                                                                             (:61-84)
    beta_pl = softmax_l(r_ip.w_kl),   alpha_lp = softmax_p(lambda_1 beta_pl),   c_ikl = sum_p alpha_lp r_ip  (:18-58)
    Z_ik = lambda_3 log sum_l exp(lambda_2 c(w_kl, c_ikl))                                                  (:87-137)
    L = CE_row(G) + CE_col(G) + CE_row(Z) + CE_col(Z)                                           (gloria_model.py:79-80)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vlpbench.errors import VlpbenchError
from vlpbench.method import Encoded, Method, Options, PairBatch, Parts
from vlpbench.registry import register_method
from vlpbench.text import TokenBatch, span_sums
from vlpbench_methods.contrastive import cosine_logits, matching_loss, wide
from vlpbench_methods.patches import cells, local_map
from vlpbench_methods.region_words import AT_ONCE, KEPT, region_word_scores

WEIGHTS = ("global_weight", "local_weight")
SCALES = ("attention_scale", "pooling_scale", "logit_scale")


@dataclass(frozen=True)
class GloriaOptions(Options):
    """Switches of GLoRIA.

    Attributes:
        global_weight: of the global term; a term of weight 0 is left out.
        local_weight: of the local term.
        attention_scale: lambda_1, with which words attend to patches; temp1 of the released code, which multiplies.
        pooling_scale: lambda_2, with which the words of a report are pooled; temp2.
        logit_scale: lambda_3, of both contrasts; temp3.
        class_token: whether the class token counts as a word, as in the released code.
        drawn_sentence: whether each step of training takes the words of one sentence drawn from each report, as in the
            released code, and not those of the whole report.
        local_stride: of the feature map whose cells are the patches; 0 for the second coarsest (layer3 of a ResNet), or
            the last one of a plain transformer.
        local_input_size: side that images are up-sampled to inside the network, 0 for none; the released code has 299.
        attention_at_once: attention weights that the local term computes at a time; memory grows with it and with the
            next, the loss stays.
        attention_kept: attention weights whose products are kept for the backward pass, 0 to compute all of them again;
            memory is 8 bytes each, time a third more without.
    """

    global_weight: float = 1.0
    local_weight: float = 1.0
    attention_scale: float = 4.0
    pooling_scale: float = 5.0
    logit_scale: float = 10.0
    class_token: bool = False
    drawn_sentence: bool = False
    local_stride: int = 0
    local_input_size: int = 0
    attention_at_once: int = AT_ONCE
    attention_kept: int = KEPT

    def __post_init__(self) -> None:
        """Refuse what means nothing."""
        weights = [getattr(self, name) for name in WEIGHTS]
        if min(weights) < 0 or max(weights) == 0:
            raise VlpbenchError(f"Options {', '.join(WEIGHTS)} of gloria are {weights}: expected 0 or more, not all 0.")
        for name in SCALES:
            if not getattr(self, name) > 0:
                raise VlpbenchError(f"Option {name} of gloria is {getattr(self, name)}: expected more than 0.")
        for name, least in (("attention_at_once", 1), ("attention_kept", 0), ("local_input_size", 0)):
            if getattr(self, name) < least:
                raise VlpbenchError(f"Option {name} of gloria is {getattr(self, name)}: expected {least} or more.")


@register_method(
    "gloria",
    title="GLoRIA",
    venue="ICCV'21",
    paper="https://openaccess.thecvf.com/content/ICCV2021/html/Huang_GLoRIA_A_Multimodal_Global-Local_Representation_"
    "Learning_Framework_for_Label-Efficient_Medical_ICCV_2021_paper.html",
    licence="Apache-2.0",
    architectures=("resnet50",),
    losses=("global", "local"),
    published="GLoRIA",
    recipe={
        "learning_rate": 5e-5,
        "weight_decay": 1e-6,
        "beta1": 0.5,
        "batch_size": 48,
        "clip": 0.25,
        "max_tokens": 97,
    },
    deviations=(
        "The image encoder starts from random weights, not from ImageNet's, so that rows of one table start alike.",
        "AdamW with warm-up and cosine, not Adam with plateaus, so that rows of one table share optimiser and "
        "schedule.",
        "The words of the whole report are taken, not those of one sentence drawn at every step "
        "(gloria/datasets/pretraining_dataset.py:139-175), since the corpus contract hands out reports; a switch, with "
        "which the text encoder still reads the whole report and validation keeps all its words.",
        "The class token is no word; in the released code, which counts words from its place on, it is one "
        "(gloria/models/gloria_model.py:53-55, gloria/loss/gloria_loss.py:97-100). A switch.",
        "The global text feature is the mean of the real words; the released code has the mean over all 97 positions, "
        "of [CLS], words, [SEP] and zeros (gloria/models/text_model.py:110-114). The zeros change its length alone, "
        "which the cosine does not see.",
        "Words are split by the text encoder's own tokenizer from reports as the corpus has them: punctuation is read "
        "but is no word, where the released code removes it first.",
        "A pair whose report has no word takes part in neither contrast; the released corpus holds no such report.",
        "Patches are the cells of layer3 without the up-sampling of the input to 299 "
        "(gloria/models/vision_model.py:57-76); a switch.",
        "The vectors that words attend to are never built: their cosines come from similarities and one Gram matrix "
        "per image, which is the same loss in less memory.",
        "Both contrasts are over the global batch.",
    ),
)
class Gloria(Method):
    """GLoRIA."""

    options_type = GloriaOptions

    def __init__(self, parts: Parts) -> None:
        """Add linear projections of pooled image and patches to the width of the text."""
        super().__init__(parts)
        self.switches = cast(GloriaOptions, parts.options)
        self.local_map = local_map(self.backbone, self.switches.local_stride)
        self.image_head = nn.Linear(self.backbone.pooled, self.text.width)
        self.patch_head = nn.Linear(self.backbone.channels[self.local_map], self.text.width, bias=False)

    def encode(self, batch: PairBatch) -> Encoded:
        """Pooled images, words, and patches where the local term is on."""
        images, side = batch.images, self.switches.local_input_size
        if side:
            images = F.interpolate(images, (side, side), mode="bilinear", align_corners=True)
        maps, pooled = self.backbone.maps_and_pooled(images)
        tokens = self.text(batch.reports).last_four
        words = span_sums(tokens, batch.reports.word, batch.reports.words)
        if self.switches.class_token:
            words = torch.cat([tokens[:, :1].to(words.dtype), words], dim=1)
        encoded = {"image": pooled, "words": words}
        if self.switches.local_weight > 0:
            encoded["patches"] = cells(maps[self.local_map])
        return encoded

    def loss(self, encoded: Encoded, batch: PairBatch) -> dict[str, Float[Tensor, ""]]:
        """The terms whose weight is not 0."""
        switches, mask = self.switches, self._word_mask(batch.reports)
        told = mask.any(dim=1)
        self.diagnostics = {"words per report": mask.sum(dim=1).float().mean()}
        words, mask = encoded["words"][told], mask[told]
        losses = {}
        with torch.autocast(words.device.type, enabled=False):
            if switches.global_weight > 0:
                images, reports = self.image_head(wide(encoded["image"][told])), mean_words(words, mask)
                logits = cosine_logits(images, reports, temperature=1 / switches.logit_scale)
                losses["global"] = switches.global_weight * match_both_ways(logits)
            if switches.local_weight > 0:
                scores = region_word_scores(
                    words,
                    mask,
                    self.patch_head(wide(encoded["patches"][told])),
                    attention_scale=switches.attention_scale,
                    pooling_scale=switches.pooling_scale,
                    at_once=switches.attention_at_once,
                    kept=switches.attention_kept,
                )
                losses["local"] = switches.local_weight * match_both_ways(switches.logit_scale * scores)
        return losses

    def align(self, encoded: Encoded, batch: PairBatch) -> Float[Tensor, "b words patches"] | None:
        """Products r_ip.w_il, before the softmax over words, in which a report of one word says nothing (:18-58)."""
        if self.switches.local_weight == 0:
            return None
        # The class token, where it is a word, stands before the others.
        words = encoded["words"][:, -batch.reports.words :]
        regions: Tensor = self.patch_head(wide(encoded["patches"]))
        return wide(words) @ regions.transpose(1, 2)

    def _word_mask(self, reports: TokenBatch) -> Bool[Tensor, "b w"]:
        """Words that take part, the class token first where it is one."""
        drawn = self.switches.drawn_sentence and self.training
        mask = draw_sentences(reports) if drawn else reports.word_mask
        return F.pad(mask, (1, 0), value=True) if self.switches.class_token else mask


def match_both_ways(logits: Float[Tensor, "b b"]) -> Float[Tensor, ""]:
    """CE_row + CE_col, 0 for no pair at all."""
    return matching_loss(logits) + matching_loss(logits.T) if len(logits) else logits.sum()


def mean_words(words: Float[Tensor, "b w d"], mask: Bool[Tensor, "b w"]) -> Float[Tensor, "b d"]:
    """Mean of the real words of each report, of which there is at least one."""
    return wide(words).masked_fill(~mask[:, :, None], 0.0).sum(dim=1) / mask.sum(dim=1, keepdim=True)


def draw_sentences(reports: TokenBatch) -> Bool[Tensor, "b words"]:
    """Words of one sentence of each report, drawn among those that hold words."""
    words, sentences = (torch.arange(count, device=reports.ids.device) for count in (reports.words, reports.sentences))
    of_word = reports.word[:, :, None, None] == words[:, None]
    holds = (of_word & (reports.sentence[:, :, None, None] == sentences)).any(dim=1)
    chances = torch.rand(holds.shape[0], holds.shape[2], device=holds.device)
    drawn = chances.masked_fill(~holds.any(dim=1), -1.0).argmax(dim=1)
    return holds[torch.arange(len(holds), device=holds.device), :, drawn]
