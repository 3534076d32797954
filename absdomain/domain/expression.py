"""The text form of domain expressions: `deeppoly(slopes=parallel).guided(by=box) & box`, read with ast, never eval."""

from __future__ import annotations

import ast
import difflib
import re
import warnings
from collections.abc import Callable
from typing import Any

from absdomain import registry
from absdomain.domain.domain import AnyDomain, Meet
from absdomain.domain.mix import Mix
from absdomain.errors import check_type
from absdomain.relations import slopes
from absdomain.relations.search import Ascent, Search

ALIASES = {
    "ibp": "box",
    "crown": "deeppoly",
    "crown-ibp": "deeppoly.guided(by=box)",
    "fastlin": "deeppoly(slopes=parallel)",
    "fast-lin": "deeppoly(slopes=parallel)",
    "wong-kolter": "dual",
    "wk": "dual",
    "everyday": "box & deeppoly",
    "deepz": "zonotope",
    "diffai": "zonotope",
    "singleprop-zero": "symbolic_gap(slopes=zero)",
    "singleprop-fastlin": "symbolic_gap(slopes=parallel)",
    "planet": "lp",
    "triangle": "lp",
    "milp": "exact",
    "mip": "exact",
    "alpha-crown": "deeppoly(search=ascent)",
}
COMBINATORS: dict[str, Callable[..., AnyDomain]] = {"mix": Mix, "meet": Meet}
RULES: dict[str, slopes.Rule] = {
    "zero": slopes.zero,
    "one": slopes.one,
    "parallel": slopes.parallel,
    "adaptive": slopes.adaptive,
}
SEARCHES: dict[str, Callable[..., Search]] = {"ascent": Ascent}


class ExpressionError(ValueError):
    """A domain expression that cannot be read; says where and what could stand there."""


def parse(text: str) -> AnyDomain:
    """The domain of an expression.

    Names are case-insensitive; a bare name is the default constructor; `&` is the reduced product; the literature's
    names (ALIASES) stand for expressions. Errors: ExpressionError.
    """
    check_type("parse", text, str, "give a text such as 'box & deeppoly'")
    source = re.sub(r"(?<=\w)-(?=[A-Za-z])", "_", text.strip())  # crown-ibp is one name
    try:
        tree = ast.parse(source, mode="eval").body
    except SyntaxError as error:
        raise ExpressionError(f"{text!r}: {error.msg} at column {error.offset}; write e.g. 'box & deeppoly'") from None
    return _Reader(text).domain(_Renamed().visit(tree))


class _Renamed(ast.NodeTransformer):
    """The former slopes=optimised(start=s, ...) to slopes=s, search=ascent(...)."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        node.keywords = [new for keyword in node.keywords for new in self._renamed(keyword)]
        return node

    def _renamed(self, keyword: ast.keyword) -> list[ast.keyword]:
        match keyword:
            case ast.keyword("slopes", ast.Name(id=name) as value) if name.lower() == "optimised":
                given: list[ast.keyword] = []
            case ast.keyword("slopes", ast.Call(ast.Name(id=name), [], given) as value) if name.lower() == "optimised":
                pass
            case _:
                return [keyword]
        warnings.warn("slopes=optimised(...) is now search=ascent(...)", DeprecationWarning, stacklevel=5)
        start = [ast.keyword("slopes", k.value) for k in given if k.arg == "start"]
        ascent = ast.Call(ast.Name("ascent"), [], [k for k in given if k.arg != "start"])
        return [*start, ast.keyword("search", ast.copy_location(ascent, value))]


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text

    def domain(self, node: ast.expr) -> AnyDomain:
        match node:
            case ast.Name(id=name):
                return self._construct(node, name, [], {})
            case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords):
                return self._construct(node, name, [self.domain(a) for a in args], self._options(keywords))
            case ast.Call(func=ast.Attribute(value=inner, attr="guided"), args=[], keywords=[ast.keyword("by", by)]):
                return self.domain(inner).guided(by=self.domain(by))
            case ast.BinOp(left=left, op=ast.BitAnd(), right=right):
                return self.domain(left) & self.domain(right)
        raise self._error(node, "expected a domain, `a & b` or `a.guided(by=b)`")

    def _options(self, keywords: list[ast.keyword]) -> dict[str, Any]:
        unnamed = next((k for k in keywords if k.arg is None), None)
        if unnamed is not None:
            raise self._error(unnamed.value, "** has no meaning here")
        return {k.arg: self._value(k.value) for k in keywords if k.arg is not None}

    def _value(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=value):
                return value
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
                return -value
            case ast.Name(id="nan" | "inf" as name):
                raise self._error(node, f"{name} has no meaning here; give a finite number, or leave the option out")
            case ast.Name(id=name) if name.lower() in RULES:
                return RULES[name.lower()]
            case ast.Name(id=name) if name.lower() in SEARCHES:
                return self._made(node, SEARCHES[name.lower()], [], {})
            case ast.Call(func=ast.Name(id=name), args=[], keywords=keywords) if name.lower() in SEARCHES:
                return self._made(node, SEARCHES[name.lower()], [], self._options(keywords))
            case ast.Name(id=name) if (key := _key(name)) not in _domains():
                listed = f"no slopes ({', '.join(RULES)}), no search ({', '.join(SEARCHES)}) and no domain"
                close = difflib.get_close_matches(key, [*RULES, *SEARCHES, *_domains()])
                raise self._error(node, f"{name!r} is {listed}" + (f"; did you mean {close[0]}?" if close else ""))
        return self.domain(node)

    def _construct(self, node: ast.expr, name: str, args: list[AnyDomain], options: dict[str, Any]) -> AnyDomain:
        key = _key(name)
        if key in ALIASES and not args and not options:
            return parse(ALIASES[key])
        try:
            maker: Any = COMBINATORS.get(key) or registry.find("domains", key)
        except registry.UnknownName:
            raise self._error(node, f"no domain is called {name!r}; {_suggest(key)}") from None
        return self._made(node, maker, args, options)

    def _made(self, node: ast.expr, maker: Callable[..., Any], args: list[AnyDomain], options: dict[str, Any]) -> Any:
        try:
            return maker(*args, **options)
        except (TypeError, ValueError) as error:
            raise self._error(node, f"{error}") from error

    def _error(self, node: ast.expr, message: str) -> ExpressionError:
        return ExpressionError(f"{self.text!r}, column {node.col_offset + 1}: {message}")


def _key(name: str) -> str:
    """The name by which a domain is registered."""
    return name.lower().replace("_", "-")


def _domains() -> list[str]:
    """All names of domains."""
    return [*registry.names("domains"), *ALIASES, *COMBINATORS]


def _suggest(name: str) -> str:
    known = _domains()
    close = difflib.get_close_matches(name, known)
    return f"did you mean {', '.join(close)}?" if close else f"there are {', '.join(known)}"
