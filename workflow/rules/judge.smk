rule judge:
    input:
        unpack(judge_inputs),
        generations=ANSWERER.generations("{questions}"),
    output:
        ANSWERER.judgements("{questions}", "{judge}"),
    log:
        RESULTS.log("judge", "{owner}/{questions}.{judge}"),
    benchmark:
        RESULTS.benchmark("judge", "{owner}/{questions}.{judge}")
    wildcard_constraints:
        questions=r"[^/.]+(/[^/]+)?",
    priority: 1
    # Short jobs share one on a cluster; what loads a model onto a GPU runs by itself. Other groups: the cluster's profile.
    group:
        lambda w: None if gpus(judging(w)) else "judge"
    conda:
        environment(judging)
    threads: cores(judging)
    resources:
        **resources(judging),
    params:
        judge=lambda w: CONFIG.judges[w.judge].identity(),
        model=lambda w: model_identity(w.judge, "judges") if is_model(CONFIG.judges[w.judge]) else None,
        code=code("judge", lambda w: [CONFIG.judges[w.judge].kind]),
    script:
        "../scripts/judge.py"
