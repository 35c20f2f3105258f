"""Random numbers of a step as a function of seed, step and rank."""

import torch

from da_framework.core.seeding import mix


def seed_step(
    device: torch.device, seed: int, step: int, rank: int, *, purpose: str = "step"
) -> None:
    """Random numbers of a step, or of what is between steps, whatever was drawn before."""
    seed_generators(device, mix(seed, purpose, step, rank))


def seed_generators(device: torch.device, number: int) -> None:
    """Seeds what random numbers on the CPU and on a device are drawn from."""
    torch.default_generator.manual_seed(number)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index].manual_seed(number)
    elif device.type == "mps":
        torch.mps.manual_seed(number)
