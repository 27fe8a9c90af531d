"""Muon in float32 is torch's but for the rounding of bfloat16."""

import torch

from emflow.tinyworld.muon import Muon


def test_it_moves_matrices_as_torch_does():
    torch.manual_seed(0)
    shapes = [(8, 8), (24, 8), (8, 24), (8, 8)]
    ours, torchs = ([torch.nn.Parameter(torch.zeros(shape)) for shape in shapes] for _ in range(2))
    settings = {"lr": 0.1, "weight_decay": 0.5}
    optimizers = (Muon(ours, **settings), torch.optim.Muon(torchs, **settings))
    for _ in range(4):
        for one, other in zip(ours, torchs, strict=True):
            one.grad = torch.randn(one.shape)
            other.grad = one.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for one, other in zip(ours, torchs, strict=True):
        assert (one - other).norm() < 0.02 * other.norm(), one.shape
