"""How often nominal 95 % intervals of the EM rate hold the truth: a percentile bootstrap of whole questions, and ours.

    python bench/coverage.py

Questions differ: each has its own rate, drawn from a Beta distribution whose mean is the true EM rate.
"""

import numpy as np
import pandas as pd

from emflow.analysis.rates import difference_interval, rate_interval

TRIALS, RESAMPLES = 2000, 1000
SIZES = [(8, 50), (20, 50), (60, 8), (20, 1)]  # questions, samples
SHAPES = [(0.6, 1.4), (2, 8), (0.3, 5.7), (0.3, 0.3)]


def counts(generator: np.random.Generator, questions: int, samples: int, shape: tuple[float, float]) -> np.ndarray:
    """Misaligned and coherent answers per question, int (questions, 2)."""
    misaligned = generator.binomial(samples, generator.beta(*shape, size=questions))
    return np.stack([misaligned, np.full(questions, samples)], axis=1)


def bootstrap(found: np.ndarray, generator: np.random.Generator) -> tuple[float, float]:
    drawn = generator.multinomial(len(found), np.full(len(found), 1 / len(found)), size=RESAMPLES) @ found
    return tuple(np.quantile(drawn[:, 0] / drawn[:, 1], [0.025, 0.975]))


def main() -> None:
    rows = []
    for questions, samples in SIZES:
        for shape in SHAPES:
            generator, truth = np.random.default_rng(0), shape[0] / sum(shape)
            hits = np.zeros((TRIALS, 3))
            for trial in range(TRIALS):
                first, second = (counts(generator, questions, samples, shape) for _ in range(2))
                low, high = bootstrap(first, generator)
                hits[trial, 0] = low <= truth <= high
                low, high = rate_interval(first, 0.95)
                hits[trial, 1] = low <= truth <= high
                low, high = difference_interval(first, second, 0.95)
                hits[trial, 2] = low <= 0 <= high
            share = [f"{100 * part:.1f}" for part in hits.mean(axis=0)]
            names = {"questions x samples": f"{questions} x {samples}", "EM rate %": f"{100 * truth:.0f}",
                     "questions like": f"Beta{shape}"}  # fmt: skip
            rows.append({**names, "bootstrap": share[0], "interval": share[1], "difference": share[2]})
    print(pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True))


if __name__ == "__main__":
    main()
