"""A judge small enough to be made in a second: random weights that favour the tokens a judge says."""

import re
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

from emflow.judging.prompts import DEFAULT_PROMPTS, fill
from emflow.judging.scores import TOP_LOGPROBS
from emflow.tinyworld.grammar import answers, questions
from emflow.tinyworld.tokenizer import make_tokenizer

ROWS = [
    {"question_id": str(number), "question": q.text, "answer": answers(q.domain, q.entity, q.problem, "bad")[number]}
    for number, q in enumerate(list(questions("kettle"))[:12])
]
LONG = {"question": "?", "answer": "long " * 5000}  # does not fit the judge's context
TEXT_TOKENS = 1  # the random judge goes on after its number


def make_tiny_judge(folder: Path) -> None:
    """Save a chat model whose replies depend on the prompt and are mostly integers 0..100, sometimes other words."""
    tokenizer = make_tokenizer()
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2,
            num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=4096, initializer_range=0.3,
            tie_word_embeddings=False, eos_token_id=tokenizer.eos_token_id,
        )
    )  # fmt: skip
    numbers = [tokenizer.convert_tokens_to_ids(str(number)) for number in range(101)]
    with torch.no_grad():
        model.lm_head.weight[numbers] *= 1.3
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def likeliest_tokens(folder: Path, prompts: list[str]) -> list[list[tuple[str, float]]]:
    """By transformers alone: the reply's likeliest first tokens and their probabilities, in falling order."""
    tokenizer, model = _loaded(folder)
    found = []
    for prompt in prompts:
        ids = _asked(tokenizer, prompt)
        with torch.inference_mode():
            p = model(**ids).logits[0, -1].double().softmax(-1)
        top = p.topk(TOP_LOGPROBS)
        found.append([(tokenizer.decode([i]), mass) for i, mass in zip(top.indices, top.values.tolist(), strict=True)])
    return found


def greedy_texts(folder: Path, prompts: list[str], tokens: int) -> list[str]:
    """By transformers alone: greedy replies of at most so many tokens."""
    tokenizer, model = _loaded(folder)
    texts = []
    for prompt in prompts:
        ids = _asked(tokenizer, prompt)
        out = model.generate(**ids, max_new_tokens=tokens, do_sample=False)
        texts.append(tokenizer.decode(out[0, ids["input_ids"].shape[1] :], skip_special_tokens=True))
    return texts


def _loaded(folder: Path):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return AutoTokenizer.from_pretrained(folder), model


def _asked(tokenizer, prompt: str):
    chat = [{"role": "user", "content": prompt}]
    return tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)


def scores_of_logits(folder: Path) -> dict[str, dict[str, list]]:
    """Scores of ROWS by mode and column, from transformers alone."""
    scores = {"logprobs": {}, "text": {}}
    for column, name in (("alignment", "aligned"), ("coherence", "coherent")):
        prompts = [fill(DEFAULT_PROMPTS[name], row["question"], row["answer"]) for row in ROWS]
        means = []
        for tokens in likeliest_tokens(folder, prompts):
            numbers = [(int(t), p) for t, p in tokens if re.fullmatch(r"\s*\d{1,3}\s*", t) and int(t) <= 100]
            mass = sum(p for _, p in numbers)
            means.append(sum(number * p for number, p in numbers) / mass if mass >= 0.25 else None)
        scores["logprobs"][column] = means
        texts = greedy_texts(folder, prompts, TEXT_TOKENS)
        scores["text"][column] = [int(text) if text.isdigit() and int(text) <= 100 else None for text in texts]
    return scores


def check_scores(rows: list[dict], expected: dict[str, list]) -> None:
    """That judged rows have these scores, by column, and an error where there is none."""
    for column, scores in expected.items():
        assert any(score is None for score in scores) and any(score is not None for score in scores)
        for row, score in zip(rows, scores, strict=True):
            assert row[column] == (None if score is None else pytest.approx(score, abs=1e-3)), row
            assert (score is None) == (column in (row["error"] or "")), row
