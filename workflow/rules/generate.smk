# One job answers one question set with all checkpoints of a run (or with the base model). The first of a run's jobs
# answers the sets of the others, too, with its one load (loads.smk).


rule generate:
    input:
        unpack(answering_inputs),
        checkpoints=ancient(RUN.checkpoints),  # the index holds their digests
        index=RUN.index,
        questions=lambda w: RESULTS.questions(questions_for(w.question_set, w.domain)),
    output:
        RUN.answerer.generations("{question_set}"),
    log:
        RESULTS.log("generate", RUN_JOB / "{question_set}"),
    benchmark:
        RESULTS.benchmark("generate", RUN_JOB / "{question_set}")
    conda:
        environment(generating)
    threads: cores(generating)
    resources:
        **resources(unless_given(generating, RUN.answerer.generations("{question_set}"))),
    params:
        sampling=lambda w: sampling(w.question_set),
        engine=CONFIG.engine.identity(),
        start=answering_checkpoint,
        model=lambda w: model_identity(w.model),
        dtype=lambda w: CONFIG.models[w.model].dtype,
        template=lambda w: CONFIG.models[w.model].chat_template_kwargs,
        loads=str(RESULTS.loads),
        code=code("generate", lambda w: [CONFIG.engine.kind]),
    script:
        "../scripts/generate.py"


rule generate_base:
    input:
        unpack(lambda w: model_inputs(w.model)),
        questions=RESULTS.questions("{questions}"),
    output:
        RESULTS.base("{model}").generations("{questions}"),
    log:
        RESULTS.log("generate_base", "{model}/{questions}"),
    benchmark:
        RESULTS.benchmark("generate_base", "{model}/{questions}")
    wildcard_constraints:
        questions=r"[^/.]+(/[^/]+)?",
    priority: 1
    conda:
        environment(generating)
    threads: cores(generating)
    resources:
        **resources(unless_given(generating, RESULTS.base("{model}").generations("{questions}"))),
    params:
        sampling=lambda w: sampling(w.questions.split("/")[0]),
        engine=CONFIG.engine.identity(),
        model=lambda w: model_identity(w.model),
        dtype=lambda w: CONFIG.models[w.model].dtype,
        template=lambda w: CONFIG.models[w.model].chat_template_kwargs,
        loads=str(RESULTS.loads),
        code=code("generate_base", lambda w: [CONFIG.engine.kind]),
    script:
        "../scripts/generate_base.py"


# The CSV of Harvard CS 2881, homework 0, for who asks for it: snakemake --cores all results/runs/.../model_generations.csv
rule export_answers:
    input:
        ANSWERER.generations("{questions}"),
    output:
        ANSWERER.export("{questions}", "{checkpoint}"),
    log:
        RESULTS.log("export_answers", "{owner}/{questions}/{checkpoint}"),
    wildcard_constraints:
        questions=r"[^/.]+(/[^/]+)?",
        checkpoint=r"[^/]+",
    conda:
        environment()
    params:
        code=code("export_answers"),
    script:
        "../scripts/export_answers.py"
