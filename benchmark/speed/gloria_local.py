"""Is GLoRIA's local loss faster and smaller without the context vectors?

Measures forward and backward pass of the loss as the method computes it, and of two loops over reports that build every
context vector and keep what autograd wants of all reports: one that copies words and image features for each report, as
the released code does (gloria/loss/gloria_loss.py:18-137, described there and written anew here), and a lean one that
copies neither. All must give the same loss and gradients in float64 on a small batch, or nothing is measured. Each
measurement has a process of its own, in turns; the least time of all turns is taken, which other work on the machine
disturbs least. Memory is what the step adds to the resident memory of its process at most (Linux). Writes a Markdown
table to standard output:

    uv run python benchmark/speed/gloria_local.py
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from vlpbench_methods.gloria import match_both_ways
from vlpbench_methods.region_words import region_word_scores

ATTENTION, POOLING, LOGIT = 4.0, 5.0, 10.0
TOLERANCE = 1e-6
STATM = Path("/proc/self/statm")


@dataclass(frozen=True)
class Setting:
    """What is measured.

    Attributes:
        batch: pairs.
        regions: of each image.
        words: of the longest report.
        shortest: words of the shortest report.
        width: of the vectors.
        threads: of torch.
    """

    batch: int
    regions: int
    words: int
    shortest: int
    width: int
    threads: int


@dataclass(frozen=True)
class Pairs:
    """Random words and regions that want gradients, real words first."""

    words: Tensor
    regions: Tensor
    mask: Tensor


SMALL = Setting(batch=5, regions=9, words=7, shortest=1, width=12, threads=1)
Loss = Callable[[Pairs], Tensor]


def draw(setting: Setting, dtype: torch.dtype = torch.float32) -> Pairs:
    """The same pairs at every call; similarities have a standard deviation of 1."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(setting.shortest, setting.words + 1, (setting.batch,), generator=generator)
    lengths[0] = setting.words
    scale = setting.width**-0.25
    words, regions = (
        scale * torch.randn(setting.batch, count, setting.width, generator=generator, dtype=dtype)
        for count in (setting.words, setting.regions)
    )
    mask = torch.arange(setting.words) < lengths[:, None]
    return Pairs(words.requires_grad_(), regions.requires_grad_(), mask)


def without_contexts(pairs: Pairs) -> Tensor:
    """The method's loss."""
    scores = region_word_scores(
        pairs.words, pairs.mask, pairs.regions, attention_scale=ATTENTION, pooling_scale=POOLING
    )
    return match_both_ways(LOGIT * scores)


def computed_again(pairs: Pairs) -> Tensor:
    """The same with nothing kept for the backward pass, as large batches have it."""
    scores = region_word_scores(
        pairs.words, pairs.mask, pairs.regions, attention_scale=ATTENTION, pooling_scale=POOLING, kept=0
    )
    return match_both_ways(LOGIT * scores)


def with_copies(pairs: Pairs) -> Tensor:
    """Every context, of copied words and features."""
    maps = pairs.regions.transpose(1, 2).contiguous()
    columns = []
    for words, mask in zip(pairs.words, pairs.mask, strict=True):
        repeated = words[mask].T.repeat(len(maps), 1, 1)
        similarity = torch.bmm(maps.transpose(1, 2).contiguous(), repeated)
        over_words = similarity.softmax(dim=2).transpose(1, 2).contiguous()
        attention = (over_words * ATTENTION).softmax(dim=2)
        contexts = torch.bmm(maps, attention.transpose(1, 2).contiguous())
        columns.append(pooled(repeated.transpose(1, 2).contiguous(), contexts.transpose(1, 2).contiguous()))
    return match_both_ways(LOGIT * torch.stack(columns, dim=1))


def lean(pairs: Pairs) -> Tensor:
    """Every context, without copies."""
    columns = []
    for words, mask in zip(pairs.words, pairs.mask, strict=True):
        repeated = words[mask].expand(len(pairs.regions), -1, -1)
        over_words = (repeated @ pairs.regions.transpose(1, 2)).softmax(dim=1)
        contexts = (over_words * ATTENTION).softmax(dim=2) @ pairs.regions
        columns.append(pooled(repeated, contexts))
    return match_both_ways(LOGIT * torch.stack(columns, dim=1))


def pooled(words: Tensor, contexts: Tensor) -> Tensor:
    """Scores of all images with one report."""
    lengths = words.square().sum(dim=2).sqrt() * contexts.square().sum(dim=2).sqrt()
    cosines = (words * contexts).sum(dim=2) / lengths.clamp(min=1e-8)
    return (POOLING * cosines).exp().sum(dim=1).log()


LOSSES: dict[str, Loss] = {
    "without contexts": without_contexts,
    "without contexts, nothing kept": computed_again,
    "every context, copies": with_copies,
    "every context, lean": lean,
}
OURS = "without contexts"


def step(loss: Loss, pairs: Pairs) -> tuple[Tensor, ...]:
    """Loss and its gradients with respect to words and regions."""
    value = loss(pairs)
    return value.detach(), *torch.autograd.grad(value, (pairs.words, pairs.regions))


def disagreement(name: str) -> float:
    """Largest difference of loss and gradients from the method's on a small batch, relative to the largest entry."""
    pairs = draw(SMALL, torch.float64)
    both = zip(step(LOSSES[OURS], pairs), step(LOSSES[name], pairs), strict=True)
    return max(float((ours - other).abs().max() / other.abs().max()) for ours, other in both)


def measure(name: str, setting: Setting) -> dict[str, float]:
    """Seconds, and bytes added, of one step in this process."""
    torch.set_num_threads(setting.threads)
    # Libraries allocate their own buffers on first use.
    step(LOSSES[name], draw(Setting(**{**asdict(setting), "batch": 2})))
    pairs = draw(setting)
    before = int(STATM.read_text().split()[1]) * resource.getpagesize()
    begun, spent = time.perf_counter(), time.process_time()
    step(LOSSES[name], pairs)
    wall, processor = time.perf_counter() - begun, time.process_time() - spent
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"wall": wall, "processor": processor, "bytes": peak - before}


def in_fresh_process(name: str, setting: Setting) -> dict[str, float]:
    """`measure` in a process that has run nothing else."""
    request = json.dumps({"name": name, "setting": asdict(setting)})
    # Threads that wait must not spin: on a busy machine they would take the processor from the one waited for.
    environment = {**os.environ, "OMP_NUM_THREADS": str(setting.threads), "OMP_WAIT_POLICY": "PASSIVE"}
    command = [sys.executable, __file__, "--measure", request]
    answer = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    found: dict[str, float] = json.loads(answer.stdout)
    return found


def table(found: dict[str, list[dict[str, float]]]) -> str:
    """A line for each loss; ratios are to the method's."""
    best = {name: {key: min(turn[key] for turn in turns) for key in turns[0]} for name, turns in found.items()}
    lines = [
        "| loss | wall, s | ratio | processor, s | ratio | memory, MiB | ratio |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, values in best.items():
        cells = [name]
        for key, unit in (("wall", 1), ("processor", 1), ("bytes", 2**20)):
            cells += [f"{values[key] / unit:.{2 if unit == 1 else 0}f}", f"{values[key] / best[OURS][key]:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Check that all agree, then measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--batch", type=int, default=48, help="pairs (48)")
    parser.add_argument("--regions", type=int, default=361, help="regions of an image (361, 19 x 19)")
    parser.add_argument("--words", type=int, default=60, help="words of the longest report (60)")
    parser.add_argument("--shortest", type=int, default=60, help="words of the shortest report (60)")
    parser.add_argument("--width", type=int, default=768, help="of the vectors (768)")
    parser.add_argument("--threads", type=int, default=2, help="of torch (2)")
    parser.add_argument("--rounds", type=int, default=3, help="turns (3)")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    given = vars(parser.parse_args())
    request, rounds = given.pop("measure"), given.pop("rounds")
    if request is not None:
        asked = json.loads(request)
        sys.stdout.write(json.dumps(measure(asked["name"], Setting(**asked["setting"]))))
        return 0
    setting = Setting(**given)
    for name in LOSSES:
        if not disagreement(name) < TOLERANCE:
            sys.stderr.write(f"{name}: differs from the method's loss by {disagreement(name):.1e}.\n")
            return 1
    found: dict[str, list[dict[str, float]]] = {name: [] for name in LOSSES}
    for turn in range(rounds):
        for name in list(LOSSES)[:: 1 if turn % 2 == 0 else -1]:
            found[name].append(in_fresh_process(name, setting))
    sys.stdout.write(
        f"{setting}, {rounds} turns, torch {torch.__version__}, {platform.machine()}, {os.cpu_count()} processors\n\n"
    )
    sys.stdout.write(table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
