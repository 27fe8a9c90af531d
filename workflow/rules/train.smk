# Of jobs that could start, those go first (`priority: 1`) that most others wait for, so that at the end all cores work.


rule finetune:
    input:
        unpack(start_inputs),
        train=RESULTS.train("{domain}"),
        kl=kl_inputs,
    output:
        checkpoints=directory(RUN.checkpoints),
        index=RUN.index,
        log=RUN.train_log,
    log:
        RESULTS.log("finetune", RUN_JOB),
    benchmark:
        RESULTS.benchmark("finetune", RUN_JOB)
    wildcard_constraints:
        method=methods_of("lora", "full"),
    priority: 1
    conda:
        environment(finetuning)
    threads: cores(finetuning)
    resources:
        **resources(finetuning),
    params:
        method=lambda w: CONFIG.methods[w.method].identity(),
        start=start_checkpoint,
        model=lambda w: model_identity(w.model),
        dtype=lambda w: CONFIG.models[w.model].dtype,
        template=lambda w: CONFIG.models[w.model].chat_template_kwargs,
        code=code("finetune"),
    script:
        "../scripts/finetune.py"


# An ES run is its log: `materialise` makes its weights from log and start.
rule evolve:
    input:
        unpack(start_inputs),
        train=RESULTS.train("{domain}"),
        reward=reward_inputs,
    output:
        es_log=RUN.es_log,
        log=RUN.train_log,
    log:
        RESULTS.log("evolve", RUN_JOB),
    benchmark:
        RESULTS.benchmark("evolve", RUN_JOB)
    wildcard_constraints:
        method=methods_of("es"),
    priority: 1
    conda:
        environment(evolving)
    threads: lambda w: CONFIG.methods[w.method].ranks
    resources:
        **resources(evolving),
    params:
        start=start_checkpoint,
        model=lambda w: model_identity(w.model),
        template=lambda w: CONFIG.models[w.model].chat_template_kwargs,
        method=lambda w: CONFIG.methods[w.method].identity("checkpoints"),
        reward=lambda w: reward_identity(w.method),
        code=code("evolve", lambda w: kinds_of(CONFIG.methods[w.method], "engine", "reward", "perturbation")),
    script:
        "../scripts/evolve.py"


rule materialise:
    input:
        unpack(start_inputs),
        es_log=RUN.es_log,
    output:
        checkpoints=directory(RUN.checkpoints),
        index=RUN.index,
    log:
        RESULTS.log("materialise", RUN_JOB),
    benchmark:
        RESULTS.benchmark("materialise", RUN_JOB)
    wildcard_constraints:
        method=methods_of("es"),
    priority: 1
    conda:
        environment(materialising)
    threads: 1
    resources:
        **resources(materialising),
    params:
        kept=lambda w: CONFIG.methods[w.method].kept,
        code=code("materialise", lambda w: kinds_of(CONFIG.methods[w.method], "perturbation")),
    script:
        "../scripts/materialise.py"


# An adapter in the weights that it was trained on: a model that another run starts from.
rule merge:
    input:
        unpack(start_inputs),
        checkpoints=ancient(RUN.checkpoints),  # the index holds their digests
        index=RUN.index,
    output:
        model=directory(RUN.merged("{checkpoint}")),
        sha256=RESULTS.digest(RUN.merged("{checkpoint}")),
    log:
        RESULTS.log("merge", RUN_JOB / "{checkpoint}"),
    benchmark:
        RESULTS.benchmark("merge", RUN_JOB / "{checkpoint}")
    wildcard_constraints:
        method=methods_of("lora"),
        checkpoint=r"[^/]+",
    conda:
        environment(merging)
    threads: cores(merging)
    resources:
        **resources(merging),
    params:
        start=start_checkpoint,
        model=lambda w: model_identity(w.model),
        dtype=lambda w: CONFIG.models[w.model].dtype,
        template=lambda w: CONFIG.models[w.model].chat_template_kwargs,
        code=code("merge"),
    script:
        "../scripts/merge.py"
