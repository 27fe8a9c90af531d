rule rate:
    input:
        index=f"{RUN}/checkpoints.json",
        base=lambda w: [
            f"results/base/{w.model}/judgements/{questions_for(q, w.domain)}.{j}.jsonl" for q, j in QUESTIONS_BY_JUDGE
        ],
        run=[f"{RUN}/judgements/{q}.{j}.jsonl" for q, j in QUESTIONS_BY_JUDGE],
    output:
        report(
            f"{RUN}/rates.csv",
            caption="../report/run.rst",
            category="Runs",
            labels={"model": "{model}", "domain": "{domain}", "method": "{method}", "seed": "{seed}"},
        ),
    log:
        "results/logs/rate/{model}/{domain}/{method}/seed{seed}.log",
    benchmark:
        "results/benchmarks/rate/{model}/{domain}/{method}/seed{seed}.tsv"
    conda:
        "../../envs/cpu.yaml"
    params:
        questions_by_judge=QUESTIONS_BY_JUDGE,
        definitions={name: settings(d) for name, d in CONFIG.definitions.items()},
        report=settings(CONFIG.report, "definition", "examples"),
        code=code("rate", "analysis/rates.py"),
    script:
        "../scripts/rate.py"


rule provenance:
    input:
        f"{RUN}/rates.csv",
    output:
        f"{RUN}/provenance.json",
    log:
        "results/logs/provenance/{model}/{domain}/{method}/seed{seed}.log",
    benchmark:
        "results/benchmarks/provenance/{model}/{domain}/{method}/seed{seed}.tsv"
    conda:
        "../../envs/cpu.yaml"
    params:
        settings=settings_of_run,
        code=code("provenance", "reporting/provenance.py"),
    script:
        "../scripts/provenance.py"
