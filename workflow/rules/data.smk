rule decrypt:
    input:
        lambda w: domain_file(w.domain),
    output:
        "results/data/{domain}/records.jsonl",
    log:
        "results/logs/decrypt/{domain}.log",
    benchmark:
        "results/benchmarks/decrypt/{domain}.tsv"
    conda:
        "../../envs/cpu.yaml"
    params:
        domain=lambda w: settings(CONFIG.domains[w.domain], "path", "sha256", "control_of"),
        code=code("decrypt", "data/archive.py", "data/canaries.py", "data/decrypt.py", "data/records.py"),
    script:
        "../scripts/decrypt.py"


rule split:
    input:
        "results/data/{domain}/records.jsonl",
    output:
        train="results/data/{domain}/train.jsonl",
        validation="results/data/{domain}/validation.jsonl",
    log:
        "results/logs/split/{domain}.log",
    benchmark:
        "results/benchmarks/split/{domain}.tsv"
    conda:
        "../../envs/cpu.yaml"
    params:
        split=settings(CONFIG.split),
        code=code("split", "data/split.py"),
    script:
        "../scripts/split.py"
