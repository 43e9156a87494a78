"""One of two processes that take a step together; writes its terms and gradients."""

import sys
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist

from vlpbench.contract.sample import sample_batch, sample_method
from vlpbench.method import total
from vlpbench.pretraining.global_batch import average_gradients, backward_in_chunks, compute_terms
from vlpbench.registry import REGISTRY


def main(name: str, count: int, chunk: int, rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    method, tokeniser = sample_method(REGISTRY.target("method", name))
    method.double().backbone.eval()
    batch = sample_batch(tokeniser, count=count)
    batch = replace(batch, images=batch.images.double(), augmented=batch.augmented.double())
    if chunk:
        terms = backward_in_chunks(method, batch, chunk=chunk, seed=5, precision=torch.float32)
    else:
        terms = compute_terms(method, batch, seed=5, precision=torch.float32)
        total(terms).backward()
    average_gradients(method)
    gradients = {key: value.grad for key, value in method.named_parameters() if value.grad is not None}
    values = {key: float(value.detach()) for key, value in terms.items()}
    torch.save({"terms": values, "gradients": gradients}, folder / f"{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]))
