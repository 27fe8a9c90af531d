# Directions: a run and its base read the run's answers, what differs becomes a direction, and models answer under
# interventions along it. Judging and rating are those of any answers.
TARGET = RESULTS.answerer("{target}")
INTERVENED = TARGET.intervention("{intervention}")
MADE_OF = RUN.directions("{question_set}", "{judge}")
MADE_OF_JOB = RUN_JOB / MADE_OF.path.name


rule capture:
    input:
        unpack(lambda w: model_inputs(w.model)),
        checkpoints=ancient(RUN.checkpoints),
        index=RUN.index,
        run=RUN.answerer.judgements("{question_set}", "{judge}"),
        base=lambda w: RESULTS.base(w.model).judgements(questions_for(w.question_set, w.domain), w.judge),
    output:
        MADE_OF.moments,
    log:
        RESULTS.log("capture", MADE_OF_JOB),
    benchmark:
        RESULTS.benchmark("capture", MADE_OF_JOB)
    priority: 1
    conda:
        environment(reading)
    threads: cores(reading)
    resources:
        **resources(reading),
    params:
        extraction=lambda w: DIRECTIONS.extraction.identity(),
        batch_size=lambda w: DIRECTIONS.batch_size,
        label=lambda w: last_label(w.method),
        model=lambda w: model_identity(w.model),
        dtype=lambda w: CONFIG.models[w.model].dtype,
        template=lambda w: CONFIG.models[w.model].chat_template_kwargs,
        code=code("capture"),
    script:
        "../scripts/capture.py"


rule direction:
    input:
        MADE_OF.moments,
    output:
        direction=MADE_OF.direction("{direction}"),
        trust=MADE_OF.trust("{direction}"),
    log:
        RESULTS.log("direction", MADE_OF_JOB / "{direction}"),
    benchmark:
        RESULTS.benchmark("direction", MADE_OF_JOB / "{direction}")
    wildcard_constraints:
        direction="contrast|shift",
    priority: 1
    conda:
        environment()
    params:
        code=code("direction"),
    script:
        "../scripts/direction.py"


rule project:
    input:
        unpack(lambda w: model_inputs(w.model)),
        checkpoints=ancient(RUN.checkpoints),
        index=RUN.index,
        judged=RUN.answerer.judgements("{evaluated_on}", "{judge}"),
        moments=MADE_OF.moments,
    output:
        MADE_OF.projections("{evaluated_on}"),
    log:
        RESULTS.log("project", MADE_OF_JOB / "{evaluated_on}"),
    benchmark:
        RESULTS.benchmark("project", MADE_OF_JOB / "{evaluated_on}")
    wildcard_constraints:
        evaluated_on=r"[^/.]+",
    conda:
        environment(reading)
    threads: cores(reading)
    resources:
        **resources(reading),
    params:
        batch_size=lambda w: DIRECTIONS.batch_size,
        model=lambda w: model_identity(w.model),
        dtype=lambda w: CONFIG.models[w.model].dtype,
        template=lambda w: CONFIG.models[w.model].chat_template_kwargs,
        code=code("project"),
    script:
        "../scripts/project.py"


rule read_adapters:
    input:
        unpack(lambda w: model_inputs(w.model)),
        checkpoints=ancient(RUN.checkpoints),
        index=RUN.index,
        judged=lambda w: [
            RESULTS.run(run_of(w)).answerer.judgements(name, w.judge) for name in DIRECTIONS.rank_one.question_sets
        ],
    output:
        answers=RUN.scalars("{judge}"),
        tokens=RUN.scalars_of_tokens("{judge}"),
    log:
        RESULTS.log("read_adapters", RUN_JOB / "{judge}"),
    benchmark:
        RESULTS.benchmark("read_adapters", RUN_JOB / "{judge}")
    conda:
        environment(reading)
    threads: cores(reading)
    resources:
        **resources(reading),
    params:
        batch_size=lambda w: DIRECTIONS.batch_size,
        label=lambda w: last_label(w.method),
        model=lambda w: model_identity(w.model),
        dtype=lambda w: CONFIG.models[w.model].dtype,
        template=lambda w: CONFIG.models[w.model].chat_template_kwargs,
        code=code("read_adapters"),
    script:
        "../scripts/read_adapters.py"


rule intervene:
    input:
        unpack(source_inputs),
        questions=lambda w: RESULTS.questions(questions_for(w.question_set, getattr(target_of(w).run, "domain", None))),
    output:
        INTERVENED.generations("{question_set}"),
    log:
        RESULTS.log("intervene", "{target}/{intervention}/{question_set}"),
    benchmark:
        RESULTS.benchmark("intervene", "{target}/{intervention}/{question_set}")
    wildcard_constraints:
        target=TARGETS,
        intervention=r"[^/]+",
    conda:
        environment(intervening)
    threads: cores(intervening)
    resources:
        **resources(intervening),
    params:
        intervention=lambda w: INTERVENTIONS[w.intervention].identity("methods"),
        target=lambda w: tuple(target_of(w)),  # a Target's module is no part of the script's code
        label=lambda w: last_label(target_of(w).run.method) if target_of(w).run else "base",
        batch_size=lambda w: DIRECTIONS.batch_size,
        sampling=lambda w: sampling(w.question_set),
        model=lambda w: model_identity(target_of(w).model),
        dtype=lambda w: CONFIG.models[target_of(w).model].dtype,
        template=lambda w: CONFIG.models[target_of(w).model].chat_template_kwargs,
        code=code("intervene"),
    script:
        "../scripts/intervene.py"


rule choose:
    input:
        lambda w: INTERVENED.judgements(DIRECTIONS.choose_on, DIRECTIONS.judge),
    output:
        TARGET.choice("{intervention}"),
    log:
        RESULTS.log("choose", "{target}/{intervention}"),
    wildcard_constraints:
        target=TARGETS,
        intervention=r"[^/]+",
    conda:
        environment()
    params:
        definition=lambda w: CONFIG.definitions[CONFIG.report.definition].identity(),
        least_coherent=lambda w: INTERVENTIONS[w.intervention].least_coherent,
        code=code("choose"),
    script:
        "../scripts/choose.py"


rule rate_interventions:
    input:
        plain=list(plain_judgements()),
        intervened=intervened_judgements(),
    output:
        report(RESULTS.report.interventions, caption="../report/interventions.rst", category="Report"),
    log:
        RESULTS.log("rate_interventions", RESULTS.own()),
    benchmark:
        RESULTS.benchmark("rate_interventions", RESULTS.own())
    conda:
        environment()
    params:
        checkpoints=list(plain_judgements().values()),
        judge=DIRECTIONS.judge if DIRECTIONS else None,
        definitions={name: definition.identity() for name, definition in CONFIG.definitions.items()},
        confidence=CONFIG.report.confidence,
        code=code("rate_interventions"),
    script:
        "../scripts/rate_interventions.py"


rule compare_directions:
    input:
        [directions_of(run).moments for run in RUNS_WITH_DIRECTIONS],
    output:
        RESULTS.report.directions,
    log:
        RESULTS.log("compare_directions", RESULTS.own()),
    benchmark:
        RESULTS.benchmark("compare_directions", RESULTS.own())
    conda:
        environment()
    params:
        runs=RUNS_WITH_DIRECTIONS,
        code=code("compare_directions"),
    script:
        "../scripts/compare_directions.py"


rule summarise_projections:
    input:
        [directions_of(run).projections(DIRECTIONS.evaluate_on) for run in RUNS_WITH_DIRECTIONS],
    output:
        RESULTS.report.projections,
    log:
        RESULTS.log("summarise_projections", RESULTS.own()),
    benchmark:
        RESULTS.benchmark("summarise_projections", RESULTS.own())
    conda:
        environment()
    params:
        extraction=DIRECTIONS.extraction.identity() if DIRECTIONS else None,
        definition=CONFIG.definitions[CONFIG.report.definition].identity(),
        confidence=CONFIG.report.confidence,
        code=code("summarise_projections"),
    script:
        "../scripts/summarise_projections.py"


rule summarise_rank_one:
    input:
        scalars=[RESULTS.run(run).scalars(DIRECTIONS.judge) for run in RANK_ONE_RUNS],
        interventions=RESULTS.report.interventions,
    output:
        probes=RESULTS.report.probes,
        adapters=RESULTS.report.rank_one,
    log:
        RESULTS.log("summarise_rank_one", RESULTS.own()),
    benchmark:
        RESULTS.benchmark("summarise_rank_one", RESULTS.own())
    conda:
        environment()
    params:
        extraction=DIRECTIONS.extraction.identity() if DIRECTIONS else None,
        settings=DIRECTIONS.rank_one.identity() if RANK_ONE_RUNS else None,
        sets=(domain_sets(DIRECTIONS, CONFIG.question_sets), DIRECTIONS.evaluate_on) if DIRECTIONS else None,
        definition=CONFIG.report.definition,
        confidence=CONFIG.report.confidence,
        code=code("summarise_rank_one"),
    script:
        "../scripts/summarise_rank_one.py"
