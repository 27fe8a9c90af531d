"""Names that stand in the names of files, as in 8b_risky_financial.csv by the pattern {model}_{domain}."""

import re
from pathlib import Path

from emflow.files import InputError

__all__ = ["NAMES", "named_by_file"]

NAMES = ("model", "domain", "method", "seed", "checkpoint", "step", "question_set", "judge")
INTEGERS = ("seed", "step")


def named_by_file(path: Path, pattern: str) -> dict[str, str | int]:
    """What a file's name says by a pattern, which is compared with the end of the path, without suffix.

    Earlier names are as short as can be, the last one takes the rest: `{model}_{domain}` reads 8b_risky_financial as 8b
    and risky_financial. Raises InputError for an unknown name, a name that stands twice, a file of another name.
    """
    parts = re.split(r"\{(\w*)\}", pattern)
    names = parts[1::2]
    for name in names:
        if name not in NAMES:
            raise InputError(f"--from-name {pattern}: unknown name {{{name}}}; valid: {', '.join(NAMES)}")
        if names.count(name) > 1:
            raise InputError(f"--from-name {pattern}: {{{name}}} stands twice; name it once")
    fields = {name: r"\d+" if name in INTEGERS else "[^/]+?" for name in names}
    regex = "".join(f"(?P<{part}>{fields[part]})" if n % 2 else re.escape(part) for n, part in enumerate(parts))
    end = "/".join(path.resolve().with_suffix("").parts[-1 - pattern.count("/") :])
    found = re.fullmatch(regex, end)
    if found is None:
        raise InputError(f"{path}: its name is not like --from-name {pattern}; rename it, or name another pattern")
    return {name: int(value) if name in INTEGERS else value for name, value in found.groupdict().items()}
