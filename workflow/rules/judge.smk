# How patiently a judge is asked (these keys) changes no score: the script reads it from the config, and nothing re-runs.
PATIENCE = ("concurrency", "timeout", "retries", "max_requests", "max_unjudged", "base_url", "api_key_env")

ASKING = ("judging/judge.py", "judging/asking.py", "judging/prompts.py", "judging/scores.py")
JUDGE_CODE = {
    "oracle": ("judging/judge.py", "tinyworld"),
    "gold": ("judging/judge.py", "judging/gold.py", "judging/scores.py"),
    "openai": (*ASKING, "judging/endpoint.py"),
    "vllm": (*ASKING, "judging/local.py"),
}


def is_hub_judge(judge):
    return judge.kind == "vllm" and not is_local(judge.path)


def judge_folder(name):
    """Where a local judge's files lie: its own folder, or the snapshot that `fetch_judge` makes."""
    judge = CONFIG.judges[name]
    return judge.path if is_local(judge.path) else f"results/judges/{name}/snapshot"


def judges_model(wildcards):
    return judge_folder(wildcards.judge) if CONFIG.judges[wildcards.judge].kind == "vllm" else []


def judges_prompts(wildcards):
    asks = CONFIG.judges[wildcards.judge].kind in ("openai", "vllm")
    return f"results/questions/{wildcards.questions.split('/')[0]}.prompts.json" if asks else []


def judges_labels(wildcards):
    judge = CONFIG.judges[wildcards.judge]
    return judge.path if judge.kind == "gold" else []


rule judge:
    input:
        generations="results/{owner}/generations/{questions}.jsonl",
        prompts=judges_prompts,
        model=judges_model,
        labels=judges_labels,
    output:
        "results/{owner}/judgements/{questions}.{judge}.jsonl",
    log:
        "results/logs/judge/{owner}/{questions}.{judge}.log",
    wildcard_constraints:
        questions=r"[^/.]+(/[^/]+)?",
    conda:
        "../../envs/cpu.yaml"
    threads: lambda w: 2 if CONFIG.judges[w.judge].kind == "vllm" else 1
    params:
        judge=lambda w: settings(CONFIG.judges[w.judge], *PATIENCE),
        code=lambda w: code(*JUDGE_CODE[CONFIG.judges[w.judge].kind]),
    script:
        "../scripts/judge.py"


rule fetch_judge:
    output:
        directory("results/judges/{judge}/snapshot"),
    log:
        "results/logs/fetch_judge/{judge}.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        path=lambda w: CONFIG.judges[w.judge].path,
        revision=lambda w: CONFIG.judges[w.judge].revision,
    script:
        "../scripts/fetch_model.py"
