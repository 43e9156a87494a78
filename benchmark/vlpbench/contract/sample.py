"""A handful of pairs in memory, with everything a method may need: what the checks feed to a method."""

from __future__ import annotations

from dataclasses import replace

import torch

from vlpbench.backbone import Backbone, Preprocessing
from vlpbench.encoders import scratch_encoder
from vlpbench.method import Knowledge, Method, Options, PairBatch, Parts
from vlpbench.text import TokenBatch
from vlpbench.tokens import Tokeniser

SIZE = 32
REPORTS = (
    "There is a small left effusion. The heart is normal. No pneumothorax.",
    "No pneumothorax.",
    "Right upper opacity, which has grown since. No effusion.",
    "Normal heart size.",
    "There is a small left effusion. The heart is normal. No pneumothorax.",
    "Opacities.",
    "Both lungs are clear; there is neither effusion nor pneumothorax. Normal heart.",
)
SUMMARIES = (
    "left effusion",
    "no pneumothorax",
    "growing opacity",
    "normal heart",
    "left effusion",
    "opacities",
    "clear lungs",
)
LABELS = ("effusion", "opacity", "pneumothorax")
ENTITIES = ("effusion", "heart", "opacity", "pneumothorax")
POSITIONS = ("heart", "left lung", "right lung")
DESCRIPTIONS = (
    "Effusion: fluid between the lung and the chest wall.",
    "Heart: the muscle that pumps blood.",
    "Opacity: a part of the lung that is whiter than it should be.",
    "Pneumothorax: air between the lung and the chest wall.",
)
WORDLESS = "..."
PRESENT, ABSENT, UNSAID = 1, 0, -1


def sample_parts(
    kind: type[Method], *, arch: str = "resnet18", options: Options | None = None, size: int = SIZE
) -> tuple[Parts, Tokeniser]:
    """Small towers with random weights, the same at every call.

    Args:
        kind: method whose default options are taken where none are given.
        arch: of the image tower.
        options: switches.
        size: side of the images, pixels.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        texts = [*REPORTS, *SUMMARIES, *DESCRIPTIONS, *POSITIONS]
        tower, tokeniser = scratch_encoder(texts, vocabulary=150, width=16, max_tokens=40)
        backbone = Backbone(arch, Preprocessing(size))
    knowledge = Knowledge(
        labels=LABELS,
        triplet_entities=ENTITIES,
        positions=POSITIONS,
        entities=ENTITIES,
        triplet_entity_texts=tokeniser.tokenise(DESCRIPTIONS),
        position_texts=tokeniser.tokenise(POSITIONS),
        entity_texts=tokeniser.tokenise(DESCRIPTIONS),
    )
    return Parts(backbone, tower, kind.options_type() if options is None else options, knowledge), tokeniser


def sample_method(
    kind: type[Method], *, arch: str = "resnet18", options: Options | None = None, size: int = SIZE
) -> tuple[Method, Tokeniser]:
    """A method on small towers, the same at every call."""
    parts, tokeniser = sample_parts(kind, arch=arch, options=options, size=size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return kind(parts), tokeniser


def sample_batch(tokeniser: Tokeniser, *, count: int = 7, size: int = SIZE, seed: int = 3) -> PairBatch:
    """Up to seven pairs: ragged reports, two of them the same, some labels and triplets unknown."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(2, count, 3, size, size, generator=generator)
    labels = torch.tensor([[1.0, 0, 0], [0, 0, 0], [0, 1, torch.nan], [0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0]])
    words = [report.lower() for report in REPORTS]
    triplets = torch.full((len(REPORTS), len(ENTITIES), len(POSITIONS)), UNSAID, dtype=torch.int8)
    triplets[0, 0, 1] = triplets[4, 0, 1] = triplets[2, 2, 2] = triplets[5, 2, 1] = triplets[5, 2, 2] = PRESENT
    triplets[0, 3] = triplets[1, 3] = triplets[4, 3] = triplets[2, 0] = triplets[6, 0] = triplets[6, 3] = ABSENT
    return PairBatch(
        images=images[0],
        augmented=images[1],
        reports=tokeniser.tokenise(REPORTS[:count]),
        summaries=tokeniser.tokenise(SUMMARIES[:count]),
        labels=labels[:count],
        triplets=triplets[:count],
        entities=torch.tensor([[name[:6] in text for name in ENTITIES] for text in words])[:count],
        report_vectors=torch.stack(
            [torch.tensor([float(text.count(chr(97 + k))) for k in range(26)]) for text in words]
        )[:count],
    )


def bare_batch(tokeniser: Tokeniser, *, size: int = SIZE) -> PairBatch:
    """The same pairs of which nothing is known, the second report being without a word."""
    batch = sample_batch(tokeniser, size=size)
    reports = [REPORTS[0], WORDLESS, *REPORTS[2:]]
    return replace(
        batch,
        reports=tokeniser.tokenise(reports),
        labels=torch.full_like(batch.labels, torch.nan),
        triplets=torch.full_like(batch.triplets, UNSAID),
        entities=torch.zeros_like(batch.entities),
    )


def keep_needed(knowledge: Knowledge, batch: PairBatch, needs: tuple[str, ...]) -> tuple[Knowledge, PairBatch]:
    """Vocabulary and pairs as a corpus has them that offers nothing beyond `needs`, keys of `vlpbench.cards.NEEDS`."""
    none = TokenBatch.empty()
    if "summaries" not in needs:
        batch = replace(batch, summaries=none)
    if "labels" not in needs:
        knowledge, batch = replace(knowledge, labels=()), replace(batch, labels=batch.labels[:, :0])
    if "triplets" not in needs:
        knowledge = replace(
            knowledge, triplet_entities=(), positions=(), triplet_entity_texts=none, position_texts=none
        )
        batch = replace(batch, triplets=batch.triplets[:, :0, :0])
    if "entities" not in needs:
        knowledge = replace(knowledge, entities=(), entity_texts=none)
        batch = replace(batch, entities=batch.entities[:, :0])
    if "text similarity" not in needs:
        batch = replace(batch, report_vectors=batch.report_vectors[:, :0])
    return knowledge, batch
