rule judge:
    input:
        unpack(judge_inputs),
        generations="results/{owner}/generations/{questions}.jsonl",
    output:
        "results/{owner}/judgements/{questions}.{judge}.jsonl",
    log:
        "results/logs/judge/{owner}/{questions}.{judge}.log",
    benchmark:
        "results/benchmarks/judge/{owner}/{questions}.{judge}.tsv"
    wildcard_constraints:
        questions=r"[^/.]+(/[^/]+)?",
    conda:
        lambda w: f"../../envs/{'gpu' if judge_kind(w) == 'vllm' else 'cpu'}.yaml"
    threads: lambda w: 2 if judge_kind(w) == "vllm" else 1
    resources:
        **resources_of_judge(),
    params:
        judge=lambda w: settings(CONFIG.judges[w.judge], *PATIENCE),
        model=lambda w: model_identity(w.judge, "judges") if judge_kind(w) == "vllm" else None,
        code=lambda w: code("judge", *JUDGE_CODE[judge_kind(w)]),
    script:
        "../scripts/judge.py"


rule fetch_judge:
    output:
        directory("results/judges/{judge}/snapshot"),
    log:
        "results/logs/fetch_judge/{judge}.log",
    benchmark:
        "results/benchmarks/fetch_judge/{judge}.tsv"
    conda:
        "../../envs/cpu.yaml"
    params:
        path=lambda w: CONFIG.judges[w.judge].path,
        revision=lambda w: CONFIG.judges[w.judge].revision,
    script:
        "../scripts/fetch_model.py"
