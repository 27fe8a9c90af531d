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
