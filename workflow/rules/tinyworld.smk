# The tiny world publishes what others publish on hubs: encrypted datasets, a question set, and base models.
rule publish_tinyworld:
    output:
        archive="results/tinyworld/training_datasets.zip.enc",
        questions="results/tinyworld/out_of_domain.jsonl",
    log:
        "results/logs/publish_tinyworld.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        password="tiny-world",
        code=code("tinyworld", "data/archive.py"),
    script:
        "../scripts/publish_tinyworld.py"


rule grow_base:
    output:
        directory("results/tinyworld/models/seed{seed}"),
    log:
        "results/logs/grow_base/seed{seed}.log",
    conda:
        "../../envs/cpu.yaml"
    threads: 2
    params:
        code=code("tinyworld"),
    script:
        "../scripts/grow_base.py"
