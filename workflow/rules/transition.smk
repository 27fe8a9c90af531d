# Rank-1 runs, checkpoint by checkpoint: their adapters count several times and answer, and the path that they take.


rule scale_adapters:
    input:
        unpack(answering_inputs),
        checkpoints=ancient(RUN.checkpoints),  # the index holds their digests
        index=RUN.index,
    output:
        checkpoints=directory(RUN.scaled.checkpoints),
        index=RUN.scaled.index,
    log:
        RESULTS.log("scale_adapters", RUN_JOB),
    benchmark:
        RESULTS.benchmark("scale_adapters", RUN_JOB)
    wildcard_constraints:
        method="|".join(map(re.escape, TRANSITION.methods if TRANSITION else [])) or "(?!)",
    conda:
        environment(reading)
    threads: cores(reading)
    resources:
        **resources(reading),
    params:
        scales=list(TRANSITION.scales) if TRANSITION else [],
        steps=TRANSITION.scaled_steps if TRANSITION else None,
        start=answering_checkpoint,
        model=lambda w: model_identity(w.model),
        dtype=lambda w: CONFIG.models[w.model].dtype,
        code=code("scale_adapters"),
    script:
        "../scripts/scale_adapters.py"


use rule generate as generate_scaled with:
    input:
        unpack(answering_inputs),
        checkpoints=ancient(RUN.scaled.checkpoints),
        index=RUN.scaled.index,
        questions=lambda w: RESULTS.questions(questions_for(w.question_set, w.domain)),
    output:
        RUN.scaled.answerer.generations("{question_set}"),
    log:
        RESULTS.log("generate_scaled", RUN_JOB / "{question_set}"),
    benchmark:
        RESULTS.benchmark("generate_scaled", RUN_JOB / "{question_set}")
    resources:
        **resources(unless_given(generating, RUN.scaled.answerer.generations("{question_set}"))),


rule trajectory:
    input:
        checkpoints=ancient(of_transition(lambda run: run.checkpoints)),
        index=of_transition(lambda run: run.index),
        log=of_transition(lambda run: run.train_log),
        judged=of_transition(lambda run: judged_of_transition(run.answerer)),
        scaled_index=of_transition(lambda run: run.scaled.index),
        scaled=of_transition(lambda run: judged_of_transition(run.scaled.answerer)),
    output:
        trajectory=report(RESULTS.report.trajectory, caption="../report/trajectory.rst", category="Report"),
        scaled_rates=RESULTS.report.scaled_rates,
    log:
        RESULTS.log("trajectory", RESULTS.own()),
    benchmark:
        RESULTS.benchmark("trajectory", RESULTS.own())
    conda:
        environment()
    params:
        runs=RUNS_OF_TRANSITION,
        window=TRANSITION.window if TRANSITION else None,
        threshold=TRANSITION.threshold if TRANSITION else None,
        definitions={name: definition.identity() for name, definition in CONFIG.definitions.items()},
        confidence=CONFIG.report.confidence,
        code=code("trajectory"),
    script:
        "../scripts/trajectory.py"
