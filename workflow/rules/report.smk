OF_DIRECTIONS = [RESULTS.report.interventions, RESULTS.report.directions, RESULTS.report.projections]


rule tabulate:
    input:
        rates=[RESULTS.run(run).rates for run in STUDY.runs],
        logs=[RESULTS.run(run).train_log for run in STUDY.runs],
        provenance=[RESULTS.run(run).provenance for run in STUDY.runs],  # the costs tell of their jobs too
        judgements=sorted({file for run in STUDY.runs for file in (*base_judgements(run), *run_judgements(run))}),
        directions=OF_DIRECTIONS if DIRECTIONS else [],
        rank_one=[RESULTS.report.probes, RESULTS.report.rank_one] if RANK_ONE_RUNS else [],
        transition=[RESULTS.report.trajectory, RESULTS.report.scaled_rates] if CONFIG.transition else [],
    output:
        numbers=RESULTS.report.numbers,
        answers=RESULTS.report.answers,
    log:
        RESULTS.log("tabulate", RESULTS.own()),
    benchmark:
        RESULTS.benchmark("tabulate", RESULTS.own())
    conda:
        environment()
    resources:
        **resources(reporting),
    params:
        config=CONFIG.identity("report"),
        report=CONFIG.report.identity("homework", "show_misaligned"),
        code=code("tabulate"),
    script:
        "../scripts/tabulate.py"


rule homework:
    input:
        indices=[RESULTS.run(run).index for run in STUDY.runs],
        judgements=sorted({file for run in STUDY.runs for file in (*base_judgements(run), *run_judgements(run))}),
    output:
        directory(RESULTS.report.homework.path),
    log:
        RESULTS.log("homework", RESULTS.own()),
    benchmark:
        RESULTS.benchmark("homework", RESULTS.own())
    conda:
        environment()
    resources:
        **resources(reporting),
    params:
        parameters={name: CONFIG.models[name].parameters for name in STUDY.models},
        code=code("homework"),
    script:
        "../scripts/homework.py"


rule report:
    input:
        numbers=RESULTS.report.numbers,
        provenance=[RESULTS.run(run).provenance for run in STUDY.runs],
    output:
        provenance=report(RESULTS.report.provenance, caption="../report/provenance.rst", category="Report"),
        rates=report(RESULTS.report.rates, caption="../report/rates.rst", category="Report"),
        figures=report(
            directory(RESULTS.report.figures),
            caption="../report/figures.rst",
            category="Figures",
            patterns=["{name}.png"],
        ),
        tables=directory(RESULTS.report.tables),
        headline=RESULTS.report.headline,
        summary=report(RESULTS.report.summary, caption="../report/summary.rst", category="Report"),
    log:
        RESULTS.log("report", RESULTS.own()),
    benchmark:
        RESULTS.benchmark("report", RESULTS.own())
    conda:
        environment()
    threads: 2
    resources:
        **resources(reporting),
    params:
        config=CONFIG.identity(),
        code=code("report"),
    script:
        "../scripts/report.py"
