"""Are the token alignment losses faster over a padded batch than report by report?

Measures forward and backward pass of each loss as the methods compute it, batched, and of a loop over reports written
from the same equations, in turns within one process; and the memory each takes on top of its inputs, in a fresh process
of its own (Linux). Both must give the same loss and gradients, or nothing is measured. Writes a Markdown table to
standard output:

    uv run python benchmark/speed/token_alignment.py --batch 48
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from vlpbench_methods.contrastive import sparse_grouping, word_contrast
from vlpbench_methods.local_alignment import contrast_patches, contrast_words

SISTA_TEMPERATURE, SISTA_THRESHOLD = 0.2, 0.3
MGCA_TEMPERATURE = 0.1
SPARC_TEMPERATURE = 0.07
TOLERANCE = 1e-4
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"


@dataclass(frozen=True)
class Setting:
    """What is measured.

    Attributes:
        batch: pairs.
        patches: of each image.
        words: of the longest report; the others have at least half as many.
        width: of the vectors.
        threads: of torch.
        rounds: turns of both implementations.
    """

    batch: int
    patches: int
    words: int
    width: int
    threads: int
    rounds: int


@dataclass(frozen=True)
class Pairs:
    """Random words and patches that want gradients, real words first."""

    words: Tensor
    patches: Tensor
    mask: Tensor
    importance: Tensor


Loss = Callable[[Pairs], Tensor]


def draw(setting: Setting) -> Pairs:
    """The same pairs at every call."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(max(2, setting.words // 2), setting.words + 1, (setting.batch,), generator=generator)
    lengths[0] = setting.words
    mask = torch.arange(setting.words) < lengths[:, None]
    weights = torch.rand(mask.shape, generator=generator) * mask
    return Pairs(
        torch.randn(*mask.shape, setting.width, generator=generator).requires_grad_(),
        torch.randn(setting.batch, setting.patches, setting.width, generator=generator).requires_grad_(),
        mask,
        weights / weights.sum(dim=1, keepdim=True) * lengths[:, None],
    )


def batched_sta(pairs: Pairs) -> Tensor:
    """SISTA's L_STA."""
    grouped, _ = sparse_grouping(pairs.words, pairs.patches, threshold=SISTA_THRESHOLD)
    return word_contrast(pairs.words, grouped, pairs.mask, pairs.importance, temperature=SISTA_TEMPERATURE)


def looped_sta(pairs: Pairs) -> Tensor:
    """L_STA, report by report."""
    losses = []
    for words, patches, importance in reports(pairs):
        unit = F.normalize(patches, dim=1)
        grouped = grouped_sparsely(F.normalize(words, dim=1) @ unit.T, unit, SISTA_THRESHOLD)
        losses.append(both_ways(words, grouped, importance, SISTA_TEMPERATURE) / len(words))
    return torch.stack(losses).mean()


def batched_sparc(pairs: Pairs) -> Tensor:
    """SPARC's fine-grained loss, the mean over the words of the batch."""
    threshold = 1 / pairs.patches.shape[1]
    grouped, _ = sparse_grouping(pairs.words, pairs.patches, threshold=threshold, normalised=False)
    uniform = pairs.mask.to(grouped.dtype)
    return word_contrast(pairs.words, grouped, pairs.mask, uniform, temperature=SPARC_TEMPERATURE, reduction="word")


def looped_sparc(pairs: Pairs) -> Tensor:
    """The same, report by report."""
    losses = []
    for words, patches, _ in reports(pairs):
        grouped = grouped_sparsely(words @ patches.T, patches, 1 / len(patches))
        losses.append(both_ways(words, grouped, torch.ones(len(words)), SPARC_TEMPERATURE))
    return torch.stack(losses).sum() / pairs.mask.sum()


def batched_mgca_words(pairs: Pairs) -> Tensor:
    """Word side of MGCA's CTA."""
    temperatures = {"attention_temperature": MGCA_TEMPERATURE, "temperature": MGCA_TEMPERATURE}
    return contrast_words(pairs.words, pairs.patches, pairs.mask, pairs.importance, **temperatures)


def looped_mgca_words(pairs: Pairs) -> Tensor:
    """The same, report by report."""
    losses = []
    for words, patches, importance in reports(pairs):
        grouped = attended(words, patches)
        losses.append(both_ways(words, grouped, importance, MGCA_TEMPERATURE) / len(words))
    return torch.stack(losses).mean()


def batched_mgca_patches(pairs: Pairs) -> Tensor:
    """Patch side of MGCA's CTA."""
    temperatures = {"attention_temperature": MGCA_TEMPERATURE, "temperature": MGCA_TEMPERATURE}
    return contrast_patches(pairs.words, pairs.patches, pairs.mask, **temperatures)


def looped_mgca_patches(pairs: Pairs) -> Tensor:
    """The same, report by report."""
    losses = []
    for words, patches, _ in reports(pairs):
        grouped = attended(patches, words)
        losses.append(both_ways(patches, grouped, torch.ones(len(patches)), MGCA_TEMPERATURE) / len(patches))
    return torch.stack(losses).mean()


LOSSES: dict[str, tuple[Loss, Loss]] = {
    "sista-sta": (batched_sta, looped_sta),
    "sparc-fine": (batched_sparc, looped_sparc),
    "mgca-words": (batched_mgca_words, looped_mgca_words),
    "mgca-patches": (batched_mgca_patches, looped_mgca_patches),
}


def reports(pairs: Pairs) -> Sequence[tuple[Tensor, Tensor, Tensor]]:
    """Real words, patches and importance of each report."""
    rows = zip(pairs.words, pairs.patches, pairs.importance, pairs.mask.sum(dim=1).tolist(), strict=True)
    return [(words[:length], patches, importance[:length]) for words, patches, importance, length in rows]


def grouped_sparsely(similarity: Tensor, values: Tensor, threshold: float) -> Tensor:
    """Patches of one image, weighted by min-max scaled similarities of the words that reach the threshold."""
    low, high = similarity.amin(dim=1, keepdim=True), similarity.amax(dim=1, keepdim=True)
    scaled = (similarity - low) / (high - low)
    weights = torch.where(scaled >= threshold, scaled, 0.0)
    return weights / weights.sum(dim=1, keepdim=True) @ values


def attended(queries: Tensor, candidates: Tensor) -> Tensor:
    """Candidates of one pair, weighted by softmax of cosines."""
    unit = F.normalize(candidates, dim=1)
    return (F.normalize(queries, dim=1) @ unit.T / MGCA_TEMPERATURE).softmax(dim=1) @ unit


def both_ways(anchors: Tensor, grouped: Tensor, importance: Tensor, temperature: float) -> Tensor:
    """Weighted sum of the two cross-entropies of one pair, halved."""
    logits = F.normalize(anchors, dim=1) @ F.normalize(grouped, dim=1).T / temperature
    own = torch.arange(len(logits))
    losses = F.cross_entropy(logits, own, reduction="none") + F.cross_entropy(logits.T, own, reduction="none")
    return (importance * losses).sum() / 2


def step(loss: Loss, pairs: Pairs) -> tuple[float, Tensor, Tensor]:
    """Loss and its gradients with respect to words and patches."""
    value = loss(pairs)
    words, patches = torch.autograd.grad(value, (pairs.words, pairs.patches))
    return value.item(), words, patches


def disagreement(first: Loss, second: Loss, pairs: Pairs) -> float:
    """Largest difference of loss and gradients, relative to the largest entry of each."""
    ours, theirs = step(first, pairs), step(second, pairs)
    apart = [float((a - b).abs().max() / b.abs().max()) for a, b in zip(ours[1:], theirs[1:], strict=True)]
    return max(abs(ours[0] / theirs[0] - 1), *apart)


def times(losses: tuple[Loss, Loss], setting: Setting) -> tuple[list[float], list[float]]:
    """Seconds of each step of both, in turns, each going first in every other round."""
    pairs = draw(setting)
    spent: tuple[list[float], list[float]] = ([], [])
    for loss in losses:
        step(loss, pairs)
    for number in range(setting.rounds):
        for which in (0, 1) if number % 2 == 0 else (1, 0):
            begun = time.perf_counter()
            step(losses[which], pairs)
            spent[which].append(time.perf_counter() - begun)
    return spent


def peak_memory(name: str, which: int, setting: Setting) -> int:
    """Bytes that one step adds to the resident memory of this process at most, inputs not counted."""
    torch.set_num_threads(setting.threads)
    loss = LOSSES[name][which]
    # Libraries allocate their own buffers on first use.
    step(loss, draw(Setting(2, setting.patches, setting.words, setting.width, setting.threads, 1)))
    pairs = draw(setting)
    gc.collect()
    CLEAR.write_text(RESET_PEAK)
    before = resident("VmRSS")
    step(loss, pairs)
    return resident("VmHWM") - before


def resident(field: str) -> int:
    """Bytes of one memory field of this process."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024


def in_fresh_process(name: str, which: int, setting: Setting) -> int:
    """`peak_memory` in a process that has run nothing else."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(peak_memory, name, which, setting).result()


def row(name: str, setting: Setting) -> str:
    """One line of the table."""
    batched, looped = (statistics.median(spent) for spent in times(LOSSES[name], setting))
    ours, theirs = (in_fresh_process(name, which, setting) for which in (0, 1))
    cells = [name, f"{1e3 * batched:.1f}", f"{1e3 * looped:.1f}", f"{looped / batched:.2f}"]
    # Small steps fit into memory that the process already holds.
    ratio = f"{ours / theirs:.2f}" if theirs > 0 else "–"
    cells += [f"{ours / 2**20:.0f}", f"{theirs / 2**20:.0f}", ratio]
    return f"| {' | '.join(cells)} |\n"


def main() -> int:
    """Check that both agree, then measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--batch", type=int, default=48, help="pairs (48)")
    parser.add_argument("--patches", type=int, default=361, help="patches of an image (361)")
    parser.add_argument("--words", type=int, default=60, help="words of the longest report (60)")
    parser.add_argument("--width", type=int, default=128, help="of the vectors (128)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of torch (its own choice)")
    parser.add_argument("--rounds", type=int, default=15, help="turns; the median is taken (15)")
    parser.add_argument("--loss", action="append", choices=sorted(LOSSES), help="only this one; may be repeated")
    given = parser.parse_args()
    setting = Setting(given.batch, given.patches, given.words, given.width, given.threads, given.rounds)
    torch.set_num_threads(setting.threads)
    names = list(LOSSES) if given.loss is None else given.loss
    for name in names:
        apart = disagreement(*LOSSES[name], draw(setting))
        if not apart < TOLERANCE:
            sys.stderr.write(f"{name}: batched and looped differ by {apart:.1e} of the largest value.\n")
            return 1
    sys.stdout.write(
        f"{setting}, torch {torch.__version__}, {platform.machine()}, {os.cpu_count()} processors\n\n"
        "| loss | batched, ms | looped, ms | looped / batched | batched, MiB | looped, MiB | batched / looped |\n"
        "|---|---:|---:|---:|---:|---:|---:|\n"
    )
    for name in names:
        sys.stdout.write(row(name, setting))
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
