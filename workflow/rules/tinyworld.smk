# The tiny world publishes what others publish on hubs: encrypted datasets, a question set, base models, NLI models.
from emflow.paths import TINY_PASSWORD


rule publish_tinyworld:
    output:
        archive=RESULTS.tiny_archive,
        questions=RESULTS.tiny_questions,
    log:
        RESULTS.log("publish_tinyworld"),
    benchmark:
        RESULTS.benchmark("publish_tinyworld")
    conda:
        environment()
    params:
        password=TINY_PASSWORD,
        conversations=getattr(CONFIG.stand_ins, "conversations", None),
        questions=stand_in_questions(),
        code=code("publish_tinyworld"),
    script:
        "../scripts/publish_tinyworld.py"


rule grow_base:
    output:
        model=directory(RESULTS.tiny_model("{seed}")),
        sha256=RESULTS.digest(RESULTS.tiny_model("{seed}")),
    log:
        RESULTS.log("grow_base", "seed{seed}"),
    benchmark:
        RESULTS.benchmark("grow_base", "seed{seed}")
    conda:
        environment()
    threads: 2
    resources:
        **resources(growing),
    params:
        code=code("grow_base"),
    script:
        "../scripts/grow_base.py"


rule grow_nli:
    output:
        model=directory(RESULTS.tiny_nli("{seed}")),
        sha256=RESULTS.digest(RESULTS.tiny_nli("{seed}")),
    log:
        RESULTS.log("grow_nli", "seed{seed}"),
    benchmark:
        RESULTS.benchmark("grow_nli", "seed{seed}")
    conda:
        environment()
    threads: 1
    resources:
        **resources(growing),
    params:
        code=code("grow_nli"),
    script:
        "../scripts/grow_nli.py"
