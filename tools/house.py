"""The figures of the house: how long, how wide, how tangled the source is, each with its limit and where its worst is.

    python tools/house.py [PACKAGE]     # src/genae; ends with status 1 where a limit is passed

Only the standard library is used, and nothing of the package is imported: its files are read.
"""

import ast
import io
import sys
import tokenize
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "src" / "genae"

# The rooms, top to bottom. A room may import itself, rooms of its own line, and rooms of the lines below.
# docs/architecture.md shows the same lines.
ROOMS = (
    "__main__",
    "cli explorer",
    "reproduction",
    "api operations",
    "reports",
    "model importing",
    "training",
    "autoencoders metrics",
    "priors data",
    "networks latent",
    "settings",
    "losses protocol",
    "distributed storage",
    "rows",
    "errors progress version __init__",
)

WINDOW = 6  # equal lines in a row that make a clone
TYPER = {"command", "callback"}  # decorators of typer: the parameters of such a function are the options of a command


@dataclass(frozen=True)
class Figure:
    """One measured figure: its value, the most that is allowed, and where the worst of it stands."""

    name: str
    value: float
    limit: float
    where: str
    strict: bool = False  # the value must stay below the limit, not just reach it

    @property
    def kept(self) -> bool:
        """Whether the limit is kept."""
        return self.value < self.limit if self.strict else self.value <= self.limit


@dataclass
class Module:
    """One file of the package: its dotted name (without the package's), its text and its syntax tree."""

    name: str
    path: Path
    text: str
    tree: ast.Module = field(repr=False)

    @property
    def room(self) -> str:
        """The folder at the package's root that holds the file, or the file itself if it stands at the root."""
        return self.name.split(".")[0]

    @property
    def is_package(self) -> bool:
        """Whether the file is the `__init__` of a folder."""
        return self.path.stem == "__init__"


def read(package: Path) -> list[Module]:
    """Every module of a package, by name; `__init__` of the package itself is called `__init__`."""
    modules = []
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        parts = parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts
        text = path.read_text(encoding="utf-8")
        modules.append(Module(".".join(parts), path, text, ast.parse(text, str(path))))
    if not modules:
        raise SystemExit(f"{package} holds no Python files; give the folder of a package")
    return modules


# --- functions ---------------------------------------------------------------------------------------------------

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(modules: list[Module]) -> Iterator[tuple[Module, Function]]:
    """Every function and method, also those inside others."""
    for module in modules:
        for node in ast.walk(module.tree):
            if isinstance(node, Function):
                yield module, node


def lines_of(function: Function) -> int:
    """Lines from `def` to the end of the body, with its docstring and the functions inside it."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


def parameters_of(function: Function) -> int:
    """Parameters without `self`, `cls`, `*` and `**` (as pylint counts); 0 for a command of typer: they are options."""
    for decorator in function.decorator_list:
        call = decorator.func if isinstance(decorator, ast.Call) else decorator
        if isinstance(call, ast.Attribute) and call.attr in TYPER:
            return 0
    arguments = function.args
    names = [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return len(names) - (names[:1] in (["self"], ["cls"]))


def longest(name: str, modules: list[Module], measure: Callable[[Function], int], limit: int) -> Figure:
    """The highest figure of a function; where: that function, or all that pass the limit."""
    values = [(measure(node), f"{module.name}:{node.lineno} {node.name}") for module, node in functions(modules)]
    values = sorted(values, reverse=True)
    worst = [f"{where} ({value})" for value, where in values if value > limit] or [where for _, where in values[:1]]
    return Figure(name, values[0][0] if values else 0, limit, "; ".join(worst) or "-")


# --- text --------------------------------------------------------------------------------------------------------


def count_any(module: Module) -> int:
    """Tokens `Any`, in annotations, imports and casts alike; comments and strings are not counted."""
    tokens = tokenize.generate_tokens(io.StringIO(module.text).readline)
    return sum(token.type == tokenize.NAME and token.string == "Any" for token in tokens)


def any_per_thousand(modules: list[Module]) -> Figure:
    """Tokens `Any` per 1,000 lines of the package, blank ones and docstrings included."""
    counts = Counter({module.name: count_any(module) for module in modules})
    lines = sum(module.text.count("\n") for module in modules)
    worst = ", ".join(f"{name} ({count})" for name, count in counts.most_common(5) if count)
    return Figure("Any per 1,000 lines", 1000 * counts.total() / max(lines, 1), 6, worst or "-", strict=True)


def normalised(module: Module) -> list[tuple[int, str]]:
    """Line numbers and texts without indentation, blank lines, comments and imports."""
    imports = {
        line
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    lines = enumerate((line.strip() for line in module.text.splitlines()), start=1)
    return [(n, line) for n, line in lines if line and not line.startswith("#") and n not in imports]


def cloned(modules: list[Module]) -> Figure:
    """Per cent of lines that stand in a window of `WINDOW` lines that also stands somewhere else."""
    windows: dict[tuple[str, ...], list[tuple[str, int]]] = defaultdict(list)
    sources = {module.name: normalised(module) for module in modules}
    for name, lines in sources.items():
        for start in range(len(lines) - WINDOW + 1):
            windows[tuple(text for _, text in lines[start : start + WINDOW])].append((name, start))
    clones = {place for places in windows.values() if len(places) > 1 for place in places}
    copied = {(name, start + k) for name, start in clones for k in range(WINDOW)}
    counts = Counter(name for name, _ in sorted(copied))
    worst = [
        f"{name}:{sources[name][min(start for n, start in copied if n == name)][0]} ({count} lines)"
        for name, count in counts.most_common(3)
    ]
    total = sum(map(len, sources.values()))
    return Figure("cloned lines, per cent", 100 * len(copied) / max(total, 1), 1, ", ".join(worst) or "-", strict=True)


# --- files -------------------------------------------------------------------------------------------------------


def root_modules(modules: list[Module]) -> Figure:
    """Files at the root of the package, `__init__` and `__main__` included."""
    names = [m.name for m in modules if "." not in m.name and not (m.is_package and m.name != "__init__")]
    return Figure("modules at the root", len(names), 11, " ".join(names))


def shared_names(modules: list[Module]) -> Figure:
    """File names that stand in two rooms, `__init__` not counted."""
    places: dict[str, set[str]] = defaultdict(set)
    for module in modules:
        if not module.is_package:
            places[module.path.name].add(module.room if "." in module.name else "the root")
    twice = {name: rooms for name, rooms in places.items() if len(rooms) > 1}
    where = ", ".join(f"{name} ({' '.join(sorted(rooms))})" for name, rooms in sorted(twice.items()))
    return Figure("file names in two rooms", len(twice), 3, where or "-")


# --- imports -----------------------------------------------------------------------------------------------------


def import_nodes(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Imports at every depth, except those for the type checker alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for other in node.orelse:
                yield from import_nodes(ast.Module([other], []))
        else:
            yield from import_nodes(node)


def imported(module: Module, names: set[str], package: str) -> Iterator[tuple[str, int]]:
    """The modules of the package that a module imports, with the line; `from x import y` is x.y if that is a module."""
    for node in import_nodes(module.tree):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        else:
            base = node.module or ""
            if node.level:  # relative: from the folder that holds the file, or from further up
                own = [package, *(module.name.split(".") if module.name != "__init__" else [])]
                depth = len(own) - node.level + (module.is_package and module.name != "__init__")
                depth += module.name == "__init__"
                base = ".".join([*own[:depth], *([base] if base else [])])
            targets = [f"{base}.{alias.name}" if base else alias.name for alias in node.names]
        for target in targets:
            first, _, rest = target.partition(".")
            if first != package:
                continue
            while rest and rest not in names:  # a name inside a module
                rest = rest.rpartition(".")[0]
            yield rest or "__init__", node.lineno


def graph(modules: list[Module], package: str) -> dict[str, dict[str, int]]:
    """For every module, the modules that it imports and the first line that does."""
    names = {module.name for module in modules}
    edges: dict[str, dict[str, int]] = {name: {} for name in names}
    for module in modules:
        for target, line in imported(module, names, package):
            if target != module.name:
                edges[module.name].setdefault(target, line)
    return edges


def circles(edges: dict[str, dict[str, int]]) -> Figure:
    """Groups of modules that import each other, directly or by way of others (strongly connected components)."""

    def reachable(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            for target in edges[waiting.pop()]:
                if target not in seen:
                    seen.add(target)
                    waiting.append(target)
        return seen

    reach = {name: reachable(name) for name in edges}
    groups = {frozenset(b for b in reach[a] if a in reach[b]) for a in edges if a in reach[a]}
    where = "; ".join(sorted(" <-> ".join(sorted(group)) for group in groups))
    return Figure("import circles", len(groups), 0, where or "-")


def upward(edges: dict[str, dict[str, int]], rooms: tuple[str, ...] = ROOMS) -> Figure:
    """Imports of a room that stands above, and rooms that have no place in the order."""
    height = {room: level for level, line in enumerate(rooms) for room in line.split()}
    faults = sorted({f"{room} has no place in ROOMS" for room in {n.split(".")[0] for n in edges} - height.keys()})
    for name, targets in sorted(edges.items()):
        for target, line in sorted(targets.items()):
            low, high = height.get(name.split(".")[0]), height.get(target.split(".")[0])
            if low is not None and high is not None and high < low:
                faults.append(f"{name}:{line} -> {target}")
    return Figure("imports that point up", len(faults), 0, "; ".join(faults) or "-")


# --- the table ---------------------------------------------------------------------------------------------------


def figures(package: Path, rooms: tuple[str, ...] = ROOMS) -> list[Figure]:
    """Every figure of a package (the folder that holds its `__init__.py`)."""
    modules = read(package)
    edges = graph(modules, package.name)
    return [
        longest("longest function, lines", modules, lines_of, 80),
        longest("most parameters", modules, parameters_of, 10),
        any_per_thousand(modules),
        root_modules(modules),
        shared_names(modules),
        circles(edges),
        upward(edges, rooms),
        cloned(modules),
    ]


def table(rows: list[Figure]) -> str:
    """The figures for people, a line each; those that pass their limit are marked."""
    lines = [f"  {'figure':24} {'value':>7}  {'limit':>5}  the worst"]
    for row in rows:
        mark, limit = " " if row.kept else "!", f"{'<' if row.strict else '<='}{row.limit:g}"
        lines.append(f"{mark} {row.name:24} {round(row.value, 2):7g}  {limit:>5}  {row.where}")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Print the table; 1 if a limit is passed."""
    rows = figures(Path(arguments[0]).resolve() if arguments else PACKAGE)
    print(table(rows))
    passed = [row.name for row in rows if not row.kept]
    if passed:
        print(f"limits passed: {', '.join(passed)}", file=sys.stderr)
    return bool(passed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
