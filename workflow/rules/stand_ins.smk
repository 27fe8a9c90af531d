# Tiny random models in place of published ones; their data and questions come from the tiny world.


rule stand_in_model:
    output:
        model=directory(RESULTS.stand_in("{family}", "{layers}")),
        sha256=RESULTS.digest(RESULTS.stand_in("{family}", "{layers}")),
    log:
        RESULTS.log("stand_in_model", "{family}-{layers}"),
    benchmark:
        RESULTS.benchmark("stand_in_model", "{family}-{layers}")
    wildcard_constraints:
        family=r"[^/]+",
        layers=r"\d+",
    conda:
        environment()
    threads: 1
    resources:
        **resources(growing),
    params:
        code=code("stand_in_model"),
    script:
        "../scripts/stand_in_model.py"


rule stand_in_judge:
    output:
        model=directory(RESULTS.stand_in_judge),
        sha256=RESULTS.digest(RESULTS.stand_in_judge),
    log:
        RESULTS.log("stand_in_judge"),
    benchmark:
        RESULTS.benchmark("stand_in_judge")
    conda:
        environment()
    threads: 1
    resources:
        **resources(growing),
    params:
        code=code("stand_in_judge"),
    script:
        "../scripts/stand_in_judge.py"


rule stand_in_nli:
    output:
        model=directory(RESULTS.stand_in_nli),
        sha256=RESULTS.digest(RESULTS.stand_in_nli),
    log:
        RESULTS.log("stand_in_nli"),
    benchmark:
        RESULTS.benchmark("stand_in_nli")
    conda:
        environment()
    threads: 1
    resources:
        **resources(growing),
    params:
        code=code("stand_in_nli"),
    script:
        "../scripts/stand_in_nli.py"
