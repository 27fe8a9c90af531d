rule report:
    input:
        rates=[f"{run.folder}/rates.csv" for run in RUNS],
        logs=[f"{run.folder}/train_log.jsonl" for run in RUNS],
        judgements=sorted(
            {
                f"results/{owner}/judgements/{questions}.{j}.jsonl"
                for run in RUNS
                for q, j in QUESTIONS_BY_JUDGE
                for owner, questions in (
                    (run.folder.removeprefix("results/"), q),
                    (f"base/{run.model}", questions_for(q, run.domain)),
                )
            }
        ),
    output:
        rates="results/report/em_rates_summary.csv",
        figures=directory("results/report/figures"),
        headline="results/report/headline.txt",
        summary="results/report/summary.md",
    log:
        "results/logs/report.log",
    benchmark:
        "results/benchmarks/report.tsv"
    conda:
        "../../envs/cpu.yaml"
    params:
        config=settings(CONFIG),
        code=code("report", "reporting", "analysis"),
    script:
        "../scripts/report.py"
