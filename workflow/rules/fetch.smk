# What others publish is fetched once, on the machine that has a network; jobs then read local files and folders.


rule fetch_model:
    output:
        directory("results/base/{model}/snapshot"),
    log:
        "results/logs/fetch_model/{model}.log",
    benchmark:
        "results/benchmarks/fetch_model/{model}.tsv"
    conda:
        "../../envs/cpu.yaml"
    params:
        path=lambda w: CONFIG.models[w.model].path,
        revision=lambda w: CONFIG.models[w.model].revision,
    script:
        "../scripts/fetch_model.py"


rule fetch_reward:
    output:
        directory("results/rewards/{method}/snapshot"),
    log:
        "results/logs/fetch_reward/{method}.log",
    benchmark:
        "results/benchmarks/fetch_reward/{method}.tsv"
    conda:
        "../../envs/cpu.yaml"
    params:
        path=lambda w: CONFIG.methods[w.method].reward.model,
        revision=lambda w: CONFIG.methods[w.method].reward.revision,
    script:
        "../scripts/fetch_model.py"


rule fetch_file:
    output:
        "results/downloads/{sha256}/{file}",
    log:
        "results/logs/fetch_file/{sha256}/{file}.log",
    benchmark:
        "results/benchmarks/fetch_file/{sha256}/{file}.tsv"
    conda:
        "../../envs/cpu.yaml"
    params:
        url=lambda w, output: URLS[output[0]],
    script:
        "../scripts/fetch_file.py"
