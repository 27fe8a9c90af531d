"""YAML in which a key that stands twice is an error: PyYAML keeps the last, and a whole section may go."""

from typing import Any

__all__ = ["once"]


def once(loader: Any) -> Any:
    """A PyYAML loader that raises yaml.MarkedYAMLError, with the line, where a mapping names a key twice."""
    import yaml

    class Once(loader):
        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            names = [key for key, _ in node.value if key.tag == "tag:yaml.org,2002:str"]
            for number, key in enumerate(names):
                if key.value in {other.value for other in names[:number]}:
                    told = f"the key '{key.value}' stands twice"
                    raise yaml.MarkedYAMLError(problem=told, problem_mark=key.start_mark)
            found: dict[Any, Any] = super().construct_mapping(node, deep)
            return found

    return Once
