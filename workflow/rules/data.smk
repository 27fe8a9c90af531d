rule decrypt:
    input:
        lambda w: CONFIG.domains[w.domain].path,
    output:
        "results/data/{domain}/records.jsonl",
    log:
        "results/logs/decrypt/{domain}.log",
    params:
        domain=lambda w: settings(CONFIG.domains[w.domain], "path", "control_of"),
        code=code("data/archive.py", "data/canaries.py", "data/decrypt.py", "data/records.py"),
    conda:
        "../../envs/cpu.yaml"
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
    params:
        split=settings(CONFIG.split),
        code=code("data/split.py"),
    conda:
        "../../envs/cpu.yaml"
    script:
        "../scripts/split.py"
