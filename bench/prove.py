"""What the proof of a checkpoint's weights costs, as a share of a job of 400 answers by a model of 25M weights.

    python bench/prove.py [--engine transformers|vllm] [--answers N]

The model and its adapter are random; answers have up to 48 tokens. The proof: log-probabilities of the checkpoint's
texts by the base and by the adapter, and putting each in place; loading is in neither.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from pydantic import TypeAdapter

from emflow.config.engine import EngineSettings
from emflow.config.question_sets import Sampling
from emflow.inference.factory import make_engine
from emflow.inference.prove import ProvenEngine
from emflow.models.loading import load_model
from emflow.models.proof import LENGTH, TEXTS, prove_by
from emflow.tinyworld.artefacts import out_of_domain
from sides import write_random_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", default="transformers")
    parser.add_argument("--answers", type=int, default=400)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        base, adapter = base_and_adapter(Path(scratch))
        settings = TypeAdapter(EngineSettings).validate_python({"kind": given.engine})
        asked = [[{"role": "user", "content": row["question"]}] for row in out_of_domain()]
        asked = [asked[n % len(asked)] for n in range(given.answers)]
        engine = make_engine(settings, base, "float32", [adapter])
        engine.use(adapter)
        engine.generate(asked[:2], Sampling(max_new_tokens=2), [0, 0])
        proofs = [seconds(lambda: ProvenEngine(engine, given.engine, "float32").use(adapter)) for _ in range(5)]
        answers = seconds(lambda: engine.generate(asked, Sampling(max_new_tokens=48), list(range(len(asked)))))
    proof = statistics.median(proofs)
    print(f"{given.engine}: answers {answers:.1f} s, proof {proof:.2f} s: {proof / answers:.2%} of them")


def seconds(work: Callable[[], object]) -> float:
    """What some work takes."""
    started = time.monotonic()
    work()
    return time.monotonic() - started


def base_and_adapter(scratch: Path) -> tuple[Path, Path]:
    """A base model and an adapter with its proof."""
    write_random_model(scratch / "base", layers=8, intermediate=1408, positions=512)
    model = load_model(scratch / "base", "float32")
    print(f"{sum(parameter.numel() for parameter in model.parameters()) / 1e6:.1f}M weights")
    adapted = get_peft_model(model, LoraConfig(r=8, target_modules="all-linear", init_lora_weights=False))
    adapted.save_pretrained(scratch / "adapter")
    texts = torch.randint(model.config.vocab_size, (TEXTS, LENGTH)).tolist()
    prove_by(adapted, "float32", texts, scratch / "adapter")
    return scratch / "base", scratch / "adapter"


if __name__ == "__main__":
    main()
