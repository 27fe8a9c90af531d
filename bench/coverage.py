"""How often nominal 95 % intervals hold the truth: of the EM rate over questions and over answers, and of differences.

    python bench/coverage.py

Questions differ: each base question has a rate of its own, drawn from a Beta distribution whose mean is the true EM
rate and in which two answers to one question correlate as said. `24 by 8` asks eight questions in three variants each.
The true difference is none: of two sides whose questions have rates of their own, and (`paired`) the same rates.
"""

import argparse

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from emflow.analysis.intervals import answers_interval, difference_interval, rate_interval

TRIALS, RESAMPLES = 2000, 500
SETS = {"8": (8, 50), "24 by 8": (8, 150), "24": (24, 50), "168": (168, 3)}  # base questions, answers to each
RATES = (0.01, 0.05, 0.2, 0.4)
CORRELATIONS = (0.05, 0.2, 0.5)


def drawn(
    generator: np.random.Generator, questions: int, answers: int, rate: float, alike: float
) -> tuple[NDArray[np.float64], NDArray[np.int_]]:
    """True rates of questions, (questions,), and misaligned and counted answers, int (questions, 2)."""
    spread = (1 - alike) / alike
    rates = generator.beta(rate * spread, (1 - rate) * spread, size=questions)
    return rates, answered(generator, rates, answers)


def answered(generator: np.random.Generator, rates: NDArray[np.float64], answers: int) -> NDArray[np.int_]:
    """Misaligned and counted answers to questions of these rates, int (questions, 2)."""
    return np.stack([generator.binomial(answers, rates), np.full(len(rates), answers)], axis=1)


def bootstrap(found: np.ndarray, generator: np.random.Generator) -> tuple[float, float]:
    """The usual percentile bootstrap of whole questions."""
    again = generator.multinomial(len(found), np.full(len(found), 1 / len(found)), size=RESAMPLES) @ found
    return tuple(np.quantile(again[:, 0] / again[:, 1], [0.025, 0.975]))


def holds(ends: tuple[float, float], truth: float) -> bool:
    return ends[0] <= truth <= ends[1]


def covered(questions: int, answers: int, rate: float, alike: float) -> np.ndarray:
    """Share of trials whose interval holds the truth, by column of the table."""
    generator, hits = np.random.default_rng(0), np.zeros(5)
    for _ in range(TRIALS):
        rates, found = drawn(generator, questions, answers, rate, alike)
        _, other = drawn(generator, questions, answers, rate, alike)
        hits += [
            holds(bootstrap(found, generator), rate),
            holds(rate_interval(found, 0.95), rate),
            holds(answers_interval(found, 0.95), rates.mean()),
            holds(difference_interval(found, other, 0.95), 0),
            holds(difference_interval(found, answered(generator, rates, answers), 0.95), 0),
        ]
    return hits / TRIALS


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    rows = []
    for name, (questions, answers) in SETS.items():
        for alike in CORRELATIONS:
            for rate in RATES:
                shares = covered(questions, answers, rate, alike)
                cells = [f"{100 * part:.1f}" + ("" if 0.93 <= part <= 0.97 else " !") for part in shares]
                rows.append([name, f"{alike:g}", f"{100 * rate:g}", *cells])
    columns = [
        "questions",
        "correlation",
        "EM rate %",
        "bootstrap",
        "over questions",
        "over answers",
        "difference",
        "paired",
    ]
    print(pd.DataFrame(rows, columns=columns).to_markdown(index=False, disable_numparse=True))


if __name__ == "__main__":
    main()
