rule judge:
    input:
        "results/{owner}/generations/{questions}.jsonl",
    output:
        "results/{owner}/judgements/{questions}.{judge}.jsonl",
    wildcard_constraints:
        questions=r"[^/.]+(/[^/]+)?",
    log:
        "results/logs/judge/{owner}/{questions}.{judge}.log",
    params:
        judge=lambda w: settings(CONFIG.judges[w.judge]),
        code=code("judging/judge.py", "tinyworld/oracle.py"),
    conda:
        "../../envs/cpu.yaml"
    script:
        "../scripts/judge.py"
