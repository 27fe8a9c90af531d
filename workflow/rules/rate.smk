rule rate:
    input:
        index=RUN.index,
        base=lambda w: base_judgements(run_of(w)),
        run=lambda w: run_judgements(run_of(w)),
    output:
        report(
            RUN.rates,
            caption="../report/run.rst",
            category="Runs",
            labels={"model": "{model}", "domain": "{domain}", "method": "{method}", "seed": "{seed}"},
        ),
    log:
        RESULTS.log("rate", RESULTS.own(RUN_JOB)),
    benchmark:
        RESULTS.benchmark("rate", RESULTS.own(RUN_JOB))
    conda:
        environment()
    params:
        questions_by_judge=lambda w: [list(evaluation) for evaluation in STUDY.of(run_of(w))],
        definitions={name: definition.identity() for name, definition in CONFIG.definitions.items()},
        report={"confidence": CONFIG.report.confidence},
        code=code("rate"),
    script:
        "../scripts/rate.py"


rule provenance:
    input:
        RUN.rates,
    output:
        RUN.provenance,
    log:
        RESULTS.log("provenance", RESULTS.own(RUN_JOB)),
    benchmark:
        RESULTS.benchmark("provenance", RESULTS.own(RUN_JOB))
    conda:
        environment()
    params:
        settings=settings_of_run,
        code=code("provenance"),
    script:
        "../scripts/provenance.py"
