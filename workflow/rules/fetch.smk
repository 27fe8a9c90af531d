# What comes from a hub is fetched once, on the machine that has a network; jobs then read local folders.
rule fetch_model:
    output:
        directory("results/base/{model}/snapshot"),
    log:
        "results/logs/fetch_model/{model}.log",
    params:
        path=lambda w: CONFIG.models[w.model].path,
        revision=lambda w: CONFIG.models[w.model].revision,
    conda:
        "../../envs/cpu.yaml"
    script:
        "../scripts/fetch_model.py"
