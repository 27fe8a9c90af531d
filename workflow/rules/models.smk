# Models: which folder holds one, and what tells it from another.
from emflow.config.judges import LocalJudge
from emflow.config.sources import is_local
from emflow.files import stamp


def spelt(path):
    """A path of the config as Snakemake wants it, which warns of a leading `./`."""
    return Path(path).as_posix()


def model_folder(name, section="models"):
    """Where the files of a model (or of a judge that is one) lie: its own folder, or the snapshot that is fetched."""
    model = getattr(CONFIG, section)[name]
    return spelt(model.path) if model.is_local else RESULTS.snapshot(section, name)


def is_model(judge):
    """Whether a judge is a model on this machine."""
    return isinstance(judge, LocalJudge)


def is_grown(name, section="models"):
    """Whether the workflow makes the model, with its digest beside it."""
    path = getattr(CONFIG, section)[name].path
    return RESULTS.is_tiny_model(path) or RESULTS.is_stand_in(path)


def model_inputs(name, section="models"):
    """What a rule that loads a model reads.

    Folders have no digest in Snakemake, so `ancient` hides their dates; the digest's file, or else `model_identity`,
    tells one model from another.
    """
    digests = [RESULTS.digest(getattr(CONFIG, section)[name].path)] if is_grown(name, section) else []
    return {"model": ancient(model_folder(name, section)), "model_sha256": digests}


@cache
def model_identity(name, section="models"):
    """A param that tells one model from another: its revision on the hub, or what its files hold."""
    model = getattr(CONFIG, section)[name]
    if not model.is_local:
        return [model.path, model.revision]
    return None if is_grown(name, section) else stamp(Path(model.path).expanduser())


def starts_from(w):
    """The checkpoint that a run starts from, its run, and whether it keeps adapters; None for the base model."""
    start = CONFIG.methods[w.method].init_from
    other = CONFIG.start_of(run_of(w))
    return start and (start.checkpoint, RESULTS.run(other), CONFIG.methods[other.method].kind == "lora")


def start_inputs(w):
    """What a run starts from: the base model, another run's checkpoints, whose index holds their digests, or a model
    with a checkpoint's adapter in its weights."""
    match starts_from(w):
        case None:
            return model_inputs(w.model)
        case checkpoint, other, True:
            folder = other.merged(checkpoint)
            return {"model": ancient(folder), "model_sha256": [RESULTS.digest(folder)]}
        case _, other, False:
            return {"model": ancient(other.checkpoints), "model_sha256": [other.index]}


def start_checkpoint(w):
    """Which of the checkpoints among `start_inputs` a run starts from; None where the input is the model itself."""
    match starts_from(w):
        case checkpoint, _, False:
            return checkpoint


def answering_inputs(w):
    """What a run's checkpoints go onto: an adapter onto what it was trained on, whole weights onto the base model."""
    return start_inputs(w) if CONFIG.methods[w.method].kind == "lora" else model_inputs(w.model)


def answering_checkpoint(w):
    """As `start_checkpoint`, of `answering_inputs`."""
    return start_checkpoint(w) if CONFIG.methods[w.method].kind == "lora" else None


def reward_folder(method):
    """Where the model of an ES method's reward lies, as for `model_folder`; None where the reward asks none."""
    model = getattr(getattr(CONFIG.methods[method], "reward", None), "model", None)
    if model is None:
        return None
    return spelt(model) if is_local(model) else RESULTS.snapshot("rewards", method)


def reward_inputs(w):
    """As `model_inputs`, of the reward's model: its folder, whose date says nothing, and the digest of one that the
    workflow makes."""
    folder = reward_folder(w.method)
    if folder is None:
        return []
    return [ancient(folder), *([RESULTS.digest(folder)] if RESULTS.makes(folder) else [])]


@cache
def reward_identity(method):
    """As `model_identity`, of the reward's model; `method` itself holds a hub's path and revision."""
    folder = reward_folder(method)
    if folder is None or RESULTS.makes(folder) or folder == RESULTS.snapshot("rewards", method):
        return None
    return stamp(Path(folder).expanduser())


HUB_MODELS = [name for name in STUDY.models if not CONFIG.models[name].is_local]
HUB_JUDGES = [name for name in STUDY.judges if is_model(CONFIG.judges[name]) and not CONFIG.judges[name].is_local]
HUB_REWARDS = [name for name in CONFIG.methods_needed if reward_folder(name) == RESULTS.snapshot("rewards", name)]
