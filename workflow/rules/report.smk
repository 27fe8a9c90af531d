rule report:
    input:
        rates=[f"{run.folder}/rates.csv" for run in RUNS],
        logs=[f"{run.folder}/train_log.jsonl" for run in RUNS],
        provenance=[f"{run.folder}/provenance.json" for run in RUNS],
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
        rates=report("results/report/em_rates_summary.csv", caption="../report/rates.rst", category="Report"),
        figures=report(
            directory("results/report/figures"),
            caption="../report/figures.rst",
            category="Figures",
            patterns=["{name}.png"],
        ),
        headline="results/report/headline.txt",
        provenance=report("results/report/provenance.json", caption="../report/provenance.rst", category="Report"),
        summary=report("results/report/summary.md", caption="../report/summary.rst", category="Report"),
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
