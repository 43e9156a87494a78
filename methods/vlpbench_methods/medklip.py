"""MedKLIP: Wu et al., Medical Knowledge Enhanced Language-Image Pre-Training for X-ray Diagnosis, ICCV 2023.

Reports are reduced to triplets: entity, position, present or absent. Entities e are described in words; d_e and a_j are
frozen encodings of the descriptions and of the positions, p_i the patches of image i. A query decoder gives

    o_ie = decoder(W d_e; MLP(p_i))                                              (code, models/model_MedKLIP.py:145-161)
    L_cls = mean over labelled (i, e) of CE(W_c o_ie, y_ie)                      (:187-196)
    L_pos = mean over (i, e) with y_ie = 1 of -log [ exp(W_p o_ie . a_+) / sum_k exp(W_p o_ie . a_k) ]   (:166-200)

where y_ie is 1 if entity e is present at any position, else 0 if it is absent at any, else unlabelled; + is one of the
positions at which it is present and k runs over it and seven others at which it is not (dataset/dataset.py:72-93). The
loss is L_cls + L_pos. Line numbers are those of MediaBrain-SJTU/MedKLIP, folder PreTrain_MedKLIP, commit 8e60b03.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Int8
from torch import Tensor, nn

from vlpbench.errors import UnknownNameError, VlpbenchError
from vlpbench.method import Encoded, Method, Options, PairBatch, Parts
from vlpbench.registry import register_method
from vlpbench.text import TextFeatures, TextTower, TokenBatch
from vlpbench_methods.contrastive import wide
from vlpbench_methods.cross_attention import cross_attention
from vlpbench_methods.patches import cells, is_plain_transformer, local_map

PRESENT, ABSENT, UNSAID = 1, 0, -1
SIMILARITIES = ("dot", "cosine")
ENCODINGS = ("auto", "raw", "standard")
INDISTINGUISHABLE = 0.99
WEIGHT_STD = 0.02


@dataclass(frozen=True)
class MedklipOptions(Options):
    """Switches of MedKLIP.

    Attributes:
        depth: layers of the query decoder.
        heads: of its attention.
        width: of its vectors.
        feed_forward: width between the two layers of its feed-forward part.
        dropout: of the decoder and of its output.
        negatives: positions that are not the entity's, drawn for each present entity; all where there are fewer.
        similarity: of an entity with positions: "dot" product, or "cosine".
        temperature: by which that similarity is divided.
        existence_weight: of L_cls.
        position_weight: of L_pos.
        encodings: of descriptions and positions: "raw"; "standard", their mean taken off and divided by the root mean
            square of what is left; or "auto", standard where all of them have a cosine above 0.99, else raw.
        local_stride: of the feature map whose cells are the patches; 0 for the coarsest. 16 is layer3 of a ResNet, as
            released, and leaves layer4 as it was drawn.
    """

    depth: int = 4
    heads: int = 4
    width: int = 256
    feed_forward: int = 1024
    dropout: float = 0.1
    negatives: int = 7
    similarity: str = "dot"
    temperature: float = 1.0
    existence_weight: float = 1.0
    position_weight: float = 1.0
    encodings: str = "auto"
    local_stride: int = 0

    def __post_init__(self) -> None:
        """Refuse words that mean nothing and sizes that cannot be."""
        for name, known in (("similarity", SIMILARITIES), ("encodings", ENCODINGS)):
            if getattr(self, name) not in known:
                raise UnknownNameError(f"{name} of medklip", getattr(self, name), known)
        for name in ("depth", "heads", "width", "feed_forward", "negatives"):
            if getattr(self, name) < 1:
                raise VlpbenchError(f"Option {name} of medklip is {getattr(self, name)}: expected 1 or more.")
        if self.width % self.heads:
            raise VlpbenchError(f"Option width of medklip is {self.width}: expected a multiple of heads, {self.heads}.")
        if not 0 <= self.dropout < 1:
            raise VlpbenchError(f"Option dropout of medklip is {self.dropout:g}: expected 0 <= dropout < 1.")
        if self.temperature <= 0:
            raise VlpbenchError(f"Option temperature of medklip is {self.temperature:g}: expected more than 0.")
        if min(self.existence_weight, self.position_weight) < 0:
            raise VlpbenchError("Options existence_weight and position_weight of medklip: expected 0 or more.")


@register_method(
    "medklip",
    title="MedKLIP",
    venue="ICCV'23",
    paper="https://arxiv.org/abs/2301.02228",
    licence="none found",
    needs=("triplets",),
    supervision="instance labels",
    architectures=("resnet50",),
    losses=("existence", "position"),
    published="MedKLIP",
    recipe={"learning_rate": 1e-4, "weight_decay": 0.02, "batch_size": 48, "max_tokens": 128},
    deviations=(
        "The image encoder starts from random weights, as released, so that rows of one table start alike.",
        "Patches are the cells of the coarsest map. The released ResNet ends after layer3 "
        "(models/model_MedKLIP.py:70), so that layer4, whose pooled feature a linear probe reads, would stay as it was "
        "drawn; local_stride=16 takes patches from layer3.",
        "A plain transformer's class token stands among the patches: probes read it, and nothing else would train it.",
        "No flips: the released code flips images (dataset/dataset.py:40) although positions say left and right.",
        "The image view is the recipe's augmentation, not RandomResizedCrop(0.2-1) with RandAugment, and epochs, "
        "warm-up and lowest learning rate are the recipe's: rows of one table share views and schedule.",
        "A batch in which no entity is labelled, or none present, adds 0 to the term; the mean over nothing in the "
        "released code is NaN (models/model_MedKLIP.py:196-200).",
        "With fewer than seven positions at which an entity is not present, all of them are negatives; the released "
        "code demands seven (dataset/dataset.py:86-89).",
        "Encodings that the text encoder hardly tells apart, all cosines above 0.99, are centred and scaled: those of "
        "an encoder from scratch have cosines above 0.999, which would make one query of all entities. A switch.",
        "Entities, descriptions and positions are the corpus' own; the released 75 and 51 are those of its RadGraph "
        "labels.",
    ),
)
class Medklip(Method):
    """MedKLIP."""

    options_type = MedklipOptions
    entity_vectors: Tensor
    position_vectors: Tensor

    def __init__(self, parts: Parts) -> None:
        """Freeze the text tower, encode the vocabulary with it, and add the query decoder and its heads.

        Raises:
            VlpbenchError: if the corpus names no triplet entities or no positions, or has no map of `local_stride`.
        """
        super().__init__(parts)
        self.switches = switches = cast(MedklipOptions, parts.options)
        coarsest = len(self.backbone.strides) - 1
        self.local_map = local_map(self.backbone, switches.local_stride) if switches.local_stride else coarsest
        self.with_class_token = is_plain_transformer(self.backbone)
        self.text.freeze()
        for name, texts in (
            ("entity", parts.knowledge.triplet_entity_texts),
            ("position", parts.knowledge.position_texts),
        ):
            vectors = _encode_vocabulary(self.text, texts, what=name)
            self.register_buffer(f"{name}_vectors", scale_encodings(vectors, switches.encodings))
        channels, width = self.backbone.channels[self.local_map], switches.width
        layer = nn.TransformerDecoderLayer(
            width, switches.heads, switches.feed_forward, switches.dropout, batch_first=True, norm_first=True
        )
        self.patch_head = nn.Sequential(nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, width))
        self.query_head = nn.Linear(self.text.width, width)
        self.decoder = nn.TransformerDecoder(layer, switches.depth, nn.LayerNorm(width))
        self.dropout = nn.Dropout(switches.dropout)
        self.classifier = nn.Linear(width, 2)
        self.position_head = nn.Linear(width, self.text.width)
        for head in (self.patch_head, self.query_head, self.decoder, self.classifier, self.position_head):
            head.apply(_initialise)

    def encode(self, batch: PairBatch) -> Encoded:
        """Patches; reports enter as triplets only."""
        maps, pooled = self.backbone.maps_and_pooled(batch.augmented)
        patches = cells(maps[self.local_map])
        return {"patches": torch.cat([pooled[:, None], patches], dim=1) if self.with_class_token else patches}

    def loss(self, encoded: Encoded, batch: PairBatch) -> dict[str, Float[Tensor, ""]]:
        """L_cls and L_pos."""
        switches = self.switches
        memory = self.patch_head(encoded["patches"])
        queries = self.query_head(self.entity_vectors).expand(len(memory), -1, -1)
        entities = self.dropout(self.decoder(queries, memory))
        labels = existence_labels(batch.triplets)
        positive, negatives = draw_positions(batch.triplets, negatives=switches.negatives)
        self.diagnostics = {
            "labelled entities per pair": (labels != UNSAID).sum(dim=1).float().mean(),
            "present entities per pair": (labels == PRESENT).sum(dim=1).float().mean(),
        }
        contrast = position_contrast(
            self.position_head(entities),
            self.position_vectors,
            positive,
            negatives,
            cosine=switches.similarity == "cosine",
            temperature=switches.temperature,
        )
        return {
            "existence": switches.existence_weight * existence_loss(self.classifier(entities), labels),
            "position": switches.position_weight * contrast,
        }

    def align(self, encoded: Encoded, batch: PairBatch) -> Float[Tensor, "b words patches"]:
        """How much the entities that a report affirms attend to each patch; one row for all words of the report.

        The mean over heads and layers, as released for the four there are (Sample_Zero-Shot_Grounding_RSNA/test.py),
        and over the entities affirmed; NaN where there are none.
        """
        memory = self.patch_head(encoded["patches"])
        queries = self.query_head(self.entity_vectors).expand(len(memory), -1, -1)
        attention = cross_attention(self.decoder, queries, memory)[:, :, int(self.with_class_token) :]
        affirmed = (batch.triplets == PRESENT).any(dim=2).to(attention.dtype)[:, :, None]
        rows = (affirmed * attention).sum(dim=1) / affirmed.sum(dim=1)
        return rows[:, None].expand(-1, batch.reports.words, -1)


def scale_encodings(vectors: Float[Tensor, "n d"], encodings: str) -> Float[Tensor, "n d"]:
    """Encodings of a vocabulary as the switch has them, see `MedklipOptions.encodings`."""
    unit = F.normalize(vectors, dim=1)
    alike = len(vectors) > 1 and bool(((unit @ unit.T) > INDISTINGUISHABLE).all())
    if encodings == "raw" or (encodings == "auto" and not alike):
        return vectors
    centred = vectors - vectors.mean(dim=0)
    return centred / centred.square().mean().sqrt().clamp(min=torch.finfo(centred.dtype).tiny)


def existence_labels(triplets: Int8[Tensor, "b e p"]) -> Int[Tensor, "b e"]:
    """y: 1 where an entity is present at any position, else 0 where it is absent at any, else -1."""
    present, absent = (triplets == PRESENT).any(dim=2), (triplets == ABSENT).any(dim=2)
    return torch.where(present, PRESENT, torch.where(absent, ABSENT, UNSAID))


def existence_loss(logits: Float[Tensor, "b e 2"], labels: Int[Tensor, "b e"]) -> Float[Tensor, ""]:
    """L_cls: cross-entropy, mean over the entries labelled 0 or 1; 0 where there are none."""
    with torch.autocast(logits.device.type, enabled=False):
        rows, targets = wide(logits).flatten(0, 1), labels.flatten()
        losses = F.cross_entropy(rows, targets, ignore_index=UNSAID, reduction="sum")
        return losses / (targets != UNSAID).sum().clamp(min=1)


def draw_positions(
    triplets: Int8[Tensor, "b e p"], *, negatives: int
) -> tuple[Bool[Tensor, "b e p"], Bool[Tensor, "b e p"]]:
    """For each entity one of the positions at which it is present, if any, and some of those at which it is not.

    Drawn alike and without replacement from torch's global generator; all of them where there are too few.
    """
    present = triplets == PRESENT
    return _some_of(present, 1), _some_of(~present, negatives)


def position_contrast(
    entities: Float[Tensor, "b e d"],
    positions: Float[Tensor, "p d"],
    positive: Bool[Tensor, "b e p"],
    negatives: Bool[Tensor, "b e p"],
    *,
    cosine: bool,
    temperature: float,
) -> Float[Tensor, ""]:
    """L_pos: InfoNCE of entities and positions, mean over the entries that have a positive; 0 where there are none.

    Args:
        entities: what the decoder says of each entity, in the space of the positions.
        positions: encodings of all positions.
        positive: one position of each present entity; none of the others.
        negatives: positions it is contrasted with.
        cosine: whether both are scaled to unit length first.
        temperature: by which products are divided.
    """
    with torch.autocast(entities.device.type, enabled=False):
        rows, columns = wide(entities), wide(positions)
        if cosine:
            rows, columns = F.normalize(rows, dim=-1), F.normalize(columns, dim=-1)
        logits = rows @ columns.T / temperature
        counted = positive.any(dim=2)
        # Entries that do not count keep all positions: where nothing is drawn, the logarithm would be of an empty sum.
        among = positive | negatives | ~counted[:, :, None]
        losses = logits.masked_fill(~among, -torch.inf).logsumexp(dim=2) - (logits * positive).sum(dim=2)
        return (losses * counted).sum() / counted.sum().clamp(min=1)


def _some_of(candidates: Bool[Tensor, "b e p"], count: int) -> Bool[Tensor, "b e p"]:
    """Up to `count` of the candidates of each entry, by the rank of a random number."""
    drawn = torch.rand(candidates.shape, device=candidates.device).masked_fill(~candidates, -1.0)
    return candidates & (drawn.argsort(dim=2, descending=True).argsort(dim=2) < count)


def _encode_vocabulary(text: TextTower, texts: TokenBatch, *, what: str) -> Float[Tensor, "n d"]:
    """Class-token vectors of descriptions or positions."""
    if not len(texts):
        raise VlpbenchError(
            f"medklip learns from triplets, but the corpus names no triplet {what}. Choose a corpus that offers "
            "triplets, or leave medklip out."
        )
    with torch.no_grad():
        features: TextFeatures = text(texts)
    return features.report


def _initialise(module: nn.Module) -> None:
    """Weights of N(0, 0.02) with torch's biases, as released (models/model_MedKLIP.py:215-227)."""
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=WEIGHT_STD)
    elif isinstance(module, nn.MultiheadAttention):
        nn.init.normal_(module.in_proj_weight, std=WEIGHT_STD)
