rule judge:
    input:
        "results/{owner}/generations/{questions}.jsonl",
    output:
        "results/{owner}/judgements/{questions}.{judge}.jsonl",
    log:
        "results/logs/judge/{owner}/{questions}.{judge}.log",
    benchmark:
        "results/benchmarks/judge/{owner}/{questions}.{judge}.tsv"
    wildcard_constraints:
        questions=r"[^/.]+(/[^/]+)?",
    conda:
        "../../envs/cpu.yaml"
    params:
        judge=lambda w: settings(CONFIG.judges[w.judge]),
        code=code("judge", "judging/judge.py", "tinyworld/oracle.py"),
    script:
        "../scripts/judge.py"
