rule finetune:
    input:
        model=lambda w: model_folder(w.model),
        train="results/data/{domain}/train.jsonl",
    output:
        checkpoints=directory(f"{RUN}/checkpoints"),
        index=f"{RUN}/checkpoints.json",
        log=f"{RUN}/train_log.jsonl",
    log:
        "results/logs/finetune/{model}/{domain}/{method}/seed{seed}.log",
    conda:
        "../../envs/cpu.yaml"
    threads: 2
    params:
        method=lambda w: settings(CONFIG.methods[w.method]),
        dtype=lambda w: CONFIG.models[w.model].dtype,
        code=code("training"),
    script:
        "../scripts/finetune.py"
