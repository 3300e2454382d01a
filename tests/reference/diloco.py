#!/usr/bin/env python3
"""Records trajectories of DiLoCo's rules and modes, computed with NumPy, for tests/unit/sync/diloco/test_outer.c.

    tests/reference/diloco.py >tests/reference/diloco.inc

Peers train on random numbers that stand for inner steps. Everything is float32, one operation at a time; the sums of a
fragment are float64, in order. Needs numpy.
"""

from __future__ import annotations

import numpy as np

F = np.float32
COUNT, ROUNDS, PEERS = 7, 6, 3
RATE, MOMENTUM = F(0.7), F(0.9)


def ordered_sum(values: np.ndarray) -> float:
    return float(np.cumsum(values.astype(np.float64))[-1])


def mean_of(gradients: list[np.ndarray], weights: list[float]) -> np.ndarray:
    """As peers add: shares first, then in rank order."""
    total = sum(weights)
    result = F(weights[0] / total) * gradients[0]
    for gradient, weight in zip(gradients[1:], weights[1:]):
        result = result + F(weight / total) * gradient
    return result


class Nesterov:
    def __init__(self) -> None:
        self.momentum = np.zeros(COUNT, F)

    def step(self, outer: np.ndarray, mean: np.ndarray) -> np.ndarray:
        self.momentum = MOMENTUM * self.momentum + mean
        return outer - RATE * (mean + MOMENTUM * self.momentum)


class Co2:
    def __init__(self, outer: np.ndarray, clip: float) -> None:
        self.momentum = np.zeros(COUNT, F)
        self.before = outer
        self.usual = 0.0
        self.clip = clip

    def step(self, outer: np.ndarray, mean: np.ndarray) -> np.ndarray:
        step = ordered_sum(np.abs(outer - self.before)) / COUNT
        self.usual = 0.9 * self.usual + 0.1 * step if self.usual > 0 else step
        gap = np.abs(outer - self.before) / F(self.usual) + F(1) if F(self.usual) > 0 else np.ones(COUNT, F)
        self.momentum = MOMENTUM * self.momentum + mean / gap
        if self.clip > 0:
            self.momentum = np.clip(self.momentum, F(-self.clip), F(self.clip))
        self.before = outer
        return outer - RATE * self.momentum


def train(random: np.random.Generator, local: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What H inner steps do to the parameters: any function will do."""
    noise = random.standard_normal(COUNT).astype(F)
    return local - F(0.1) * noise, noise


def record(mode: str) -> dict[str, np.ndarray]:
    random = np.random.default_rng(13)
    weights = [1.0, 2.0, 4.0]
    outer = random.standard_normal(COUNT).astype(F)
    start = outer
    rule = Co2(outer, 0.0625) if mode == "co2" else Nesterov()
    locals_ = [outer] * PEERS
    bases = [outer] * PEERS  # what each peer's phase began with
    own = [np.zeros(COUNT, F)] * PEERS
    deviation = [np.zeros(COUNT, F)] * PEERS
    deviation_momentum = [np.zeros(COUNT, F)] * PEERS
    waiting: np.ndarray | None = None
    noises, outers, firsts = [], [], []
    for _ in range(ROUNDS):
        for peer in range(PEERS):
            locals_[peer], noise = train(random, locals_[peer])
            noises.append(noise)
        gradients = [bases[peer] - locals_[peer] for peer in range(PEERS)]
        mean = mean_of(gradients, weights)
        if mode in ("delayed", "eager"):
            mean, waiting = waiting, mean
        if mean is not None:
            outer = rule.step(outer, mean)
        for peer in range(PEERS):
            if mode == "streaming":  # no overlap, alpha 1/4
                locals_[peer] = F(0.25) * locals_[peer] + F(0.75) * outer
                bases[peer] = outer
                continue
            locals_[peer] = outer
            if mode == "eager":
                given = F(weights[peer] / sum(weights)) * gradients[peer]
                change = given - own[peer]
                deviation_momentum[peer] = MOMENTUM * deviation_momentum[peer] + change
                deviation[peer] = deviation[peer] - RATE * (change + MOMENTUM * deviation_momentum[peer])
                own[peer] = given
                locals_[peer] = outer + deviation[peer]
            bases[peer] = locals_[peer]
        outers.append(outer)
        firsts.append(locals_[0])
    return {"start": start, "noise": np.concatenate(noises), "outer": np.concatenate(outers),
            "local": np.concatenate(firsts)}


def check_eager() -> None:
    """Shared and own part together are the paper's rule: each peer's optimizer on the mean with its share replaced."""
    random = np.random.default_rng(2)
    rounds, share = 20, 1 / 3
    means, fresh = random.standard_normal((2, rounds))
    paper = shared = own = momentum_paper = momentum_shared = momentum_own = 0.0
    for at in range(rounds):
        old_mean, old_own = (means[at - 1], fresh[at - 1]) if at > 0 else (0.0, 0.0)
        gradient = share * fresh[at] + (old_mean - share * old_own)
        momentum_paper = 0.9 * momentum_paper + gradient
        paper -= 0.7 * (gradient + 0.9 * momentum_paper)
        momentum_shared = 0.9 * momentum_shared + old_mean
        shared -= 0.7 * (old_mean + 0.9 * momentum_shared)
        change = share * (fresh[at] - old_own)
        momentum_own = 0.9 * momentum_own + change
        own -= 0.7 * (change + 0.9 * momentum_own)
    assert abs(paper - (shared + own)) < 1e-12


def show(name: str, values: np.ndarray) -> None:
    bits = [f"0x{bits:08x}" for bits in values.view(np.uint32)]
    print(f"static const uint32_t {name}[] = {{")
    for at in range(0, len(bits), 8):
        print("\t" + ", ".join(bits[at:at + 8]) + ",")
    print("};")


def main() -> None:
    check_eager()
    print("/* Made by tests/reference/diloco.py: the bits of float32. */")
    print(f"#define RECORDED_COUNT {COUNT}\n#define RECORDED_ROUNDS {ROUNDS}\n#define RECORDED_PEERS {PEERS}")
    for mode in ("synchronous", "delayed", "eager", "streaming", "co2"):
        recorded = record(mode)
        if mode == "synchronous":
            show("recorded_start", recorded["start"])
            show("recorded_noise", recorded["noise"])
        show(f"recorded_outer_{mode}", recorded["outer"])
        show(f"recorded_local_{mode}", recorded["local"])


main()
