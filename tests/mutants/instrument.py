"""Puts many mutants into one copy of the source, each behind a switch.

Owns the edits: what the switched form of each kind of mutant is. Must not know how tests run. Invariant: with
no switch on, the copy does what the source does, and an edit moves no line.

A switch is `mutant(N)`, a function of each crate that is true if the environment has MUTANT_ACTIVE=N. With
MUTANT_TRACE=FILE it appends the number of each switch that is passed to the file, once per process.
"""

import hashlib
import re

import tree_sitter
import tree_sitter_rust

LANGUAGE = tree_sitter.Language(tree_sitter_rust.language())
ITEMS = ("function_item", "const_item", "static_item")

# Before the first line of each crate: what a mutant computes of constants may be refused by default.
ALLOWED = "#![allow(arithmetic_overflow, unconditional_panic, unconditional_recursion)] "

# Appended to the root of each crate. The numbers are those of the whole tree.
SWITCH = r"""
#[doc(hidden)] pub mod mutants {
    use std::sync::OnceLock; use std::sync::atomic::{AtomicU64, Ordering};
    struct Setting { active: u32, trace: Option<std::fs::File>, seen: Vec<AtomicU64> }
    static SETTING: OnceLock<Setting> = OnceLock::new();
    fn read() -> Setting {
        let trace = std::env::var_os("MUTANT_TRACE").and_then(|path|
            std::fs::OpenOptions::new().create(true).append(true).open(path).ok());
        let active = std::env::var("MUTANT_ACTIVE").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
        let words = if trace.is_some() { 512 } else { 0 };
        Setting { active, trace, seen: (0..words).map(|_| AtomicU64::new(0)).collect() }
    }
    #[inline(never)] pub fn mutant(number: u32) -> bool {
        let setting = SETTING.get_or_init(read);
        if let Some(mut file) = setting.trace.as_ref() {
            let bit = 1u64 << (number % 64);
            if setting.seen[number as usize / 64].fetch_or(bit, Ordering::Relaxed) & bit == 0 {
                let _ = std::io::Write::write_all(&mut file, format!("{number}\n").as_bytes());
            }
        }
        setting.active == number
    }
}
"""

COMPARISONS = ("==", "!=", "<", ">", "<=", ">=")
ASSIGNMENTS = ("+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<=", ">>=")


class Source:
    """One parsed file."""

    def __init__(self, text):
        self.bytes = text
        self.lines = [0]
        for at, byte in enumerate(text):
            if byte == 10:
                self.lines.append(at + 1)
        self.root = tree_sitter.Parser(LANGUAGE).parse(text).root_node

    def offset(self, line, column):
        """The byte at a line and a column, both counted from 1; the source is ASCII."""
        return self.lines[line - 1] + column - 1

    def node(self, start, end):
        return self.root.descendant_for_byte_range(start, end)

    def item_of(self, start, end):
        """The innermost function or constant that has these bytes, or None."""
        node = self.node(start, end)
        while node is not None and node.type not in ITEMS:
            node = node.parent
        return node

    def items(self):
        """All functions and constants: digest of the text to node, the first of equals."""
        found, open_nodes = {}, [self.root]
        while open_nodes:
            node = open_nodes.pop()
            if node.type in ITEMS:
                found.setdefault(digest_of(node), []).append(node)
            open_nodes.extend(node.children)
        for nodes in found.values():
            nodes.sort(key=lambda node: node.start_byte)
        return found


def digest_of(node):
    return hashlib.sha256(node.text).hexdigest()[:12]


class Edits:
    """Insertions into one file, by the mutants that made them."""

    def __init__(self, source):
        self.source = source
        self.opens, self.closes, self.replaced = {}, {}, {}
        self.ranges, self.arms = {}, set()

    def wrap(self, numbers, start, end, before, after):
        """Puts text around source[start:end]; of two ranges the outer one stays outside."""
        self.opens.setdefault(start, []).append((-(end - start), numbers, before))
        self.closes.setdefault(end, []).append((end - start, numbers, after))
        for number in numbers:
            self.ranges[number] = (start, end)

    def replace(self, numbers, start, end, text):
        self.replaced[start] = (end, numbers, text)
        for number in numbers:
            self.ranges.setdefault(number, (start, end))

    def render(self):
        """The new text, and for each inserted piece (start, end, numbers), in bytes of the new text; and a map
        of pieces of the old text to the new one."""
        source, out, pieces, spans = self.source.bytes, [], [], []
        size = 0
        points = sorted({*self.opens, *self.closes, *self.replaced, 0, len(source)})

        def insert(numbers, text):
            nonlocal size
            # The form of one mutant among several is a piece of its own.
            for form in re.finditer(r"if crate::mutants::mutant\((\d+)\) \{.*?\} else ", text):
                pieces.append((size + form.start(), size + form.end(), [int(form.group(1))]))
            text = text.encode()
            out.append(text)
            pieces.append((size, size + len(text), numbers))
            size += len(text)

        at = 0
        for point in points:
            if point < at:
                # Within a replaced piece; the edit there is dropped by its maker.
                continue
            out.append(source[at:point])
            spans.append((size, at, point))
            size += point - at
            at = point
            # Of two of the same range the later one is inside.
            for _, numbers, text in sorted(reversed(self.closes.get(point, [])), key=lambda each: each[0]):
                insert(numbers, text)
            for _, numbers, text in sorted(self.opens.get(point, []), key=lambda each: each[0]):
                insert(numbers, text)
            if point in self.replaced:
                end, numbers, text = self.replaced[point]
                insert(numbers, text)
                at = end
        return b"".join(out), pieces, spans


def call(number):
    return f"crate::mutants::mutant({number})"


def choose(forms, otherwise):
    """`if` the first switch the first form, ... else otherwise."""
    chain = "".join(f"if {call(number)} {{ {form} }} else " for number, form in forms)
    return f"{chain}{{ {otherwise} }}"


def edit_file(source, mutants):
    """Edits for the mutants of one file, and those for which there is no switched form.

    A mutant has number, start, end (bytes), genre and replacement.
    """
    edits, rest = Edits(source), []
    by_place = {}
    for mutant in mutants:
        # The place that `+=` changes is repeated without switches.
        if any(start <= mutant.start < end for start, end in places(source, mutants)):
            rest.append(mutant)
        else:
            by_place.setdefault((mutant.start, mutant.end, mutant.genre), []).append(mutant)
    # Of two of the same range the first is outside: a guard has the operator that it consists of inside.
    for (start, end, genre), group in sorted(by_place.items(), key=lambda each: each[0][2] in OPERATORS):
        item = source.item_of(start, end)
        constant = item is None or item.type != "function_item" or in_constant(source, start, end)
        is_const = item is not None and any(
            child.type == "function_modifiers" and b"const" in child.text.split() for child in item.children)
        form = None if constant or is_const else FORMS[genre]
        if form is None or not form(edits, source, start, end, group):
            rest.extend(group)
    return edits, rest


def places(source, mutants):
    """The places of the compound assignments that have a mutant."""
    for mutant in mutants:
        if source.bytes[mutant.start:mutant.end].decode() in ASSIGNMENTS:
            node = parent_of(source, mutant.start, mutant.end, ("compound_assignment_expr",))
            if node is not None:
                left = node.child_by_field_name("left")
                yield left.start_byte, left.end_byte


def in_constant(source, start, end):
    node = source.node(start, end)
    while node is not None:
        if node.type in ("const_item", "static_item", "const_block", "array_type"):
            return True
        if node.type == "function_item":
            return False
        node = node.parent
    return True


def function_value(edits, source, start, end, group):
    forms = [f"if {call(m.number)} {{ return {m.replacement or '()'}; }} " for m in group]
    # Each by itself, so that one that does not compile is dropped alone.
    for mutant, form in zip(reversed(group), reversed(forms)):
        edits.opens.setdefault(start, []).append((-(10**9), [mutant.number], form))
        edits.ranges[mutant.number] = (start, end)
    return True


def parent_of(source, start, end, kinds):
    node = source.node(start, end)
    while node is not None and node.type not in kinds:
        node = node.parent
    return node


def binary(edits, source, start, end, group):
    node = parent_of(source, start, end, ("binary_expression", "compound_assignment_expr"))
    if node is None:
        return False
    operator = node.child_by_field_name("operator")
    if operator is None or (operator.start_byte, operator.end_byte) != (start, end):
        return False
    left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
    old, numbers = operator.text.decode(), [m.number for m in group]
    forms = [(m.number, m.replacement) for m in group]
    if node.type == "compound_assignment_expr":
        place = left.text.decode()
        text = choose([(n, f"{place} {new} __b;") for n, new in forms], f"{place} {old} __b;")
        edits.replace(numbers, node.start_byte, right.start_byte, "{ let __b = (")
        edits.closes.setdefault(node.end_byte, []).append(
            (node.end_byte - node.start_byte, numbers, f"); {text} }}"))
        for number in numbers:
            edits.ranges[number] = (node.start_byte, node.end_byte)
        return True
    if old in ("&&", "||"):
        if any(has(side, "let_condition") or has(side, "let_chain") for side in (left, right)):
            return False
        if any(new not in ("&&", "||") for _, new in forms):
            return False
        switch = " || ".join(call(n) for n, _ in forms)
        test = f"__a != ({switch})" if old == "&&" else f"__a == ({switch})"
        edits.wrap(numbers, node.start_byte, node.end_byte, "({ let __a: bool = ", "} else { __a } })")
        edits.replace(numbers, start, end, f"; if {test} {{ ")
        return True
    reference = "&" if old in COMPARISONS else ""
    text = choose([(n, f"__a {new} __b") for n, new in forms], f"__a {old} __b")
    edits.wrap(numbers, node.start_byte, node.end_byte, f"(match ({reference}(",
               f")) {{ (__a, __b) => {text} }})")
    edits.replace(numbers, start, end, f"), {reference}(")
    return True


def returns_impl(source, mutant):
    """Whether the function returns `impl Trait`, of which two values have two types."""
    item = source.item_of(mutant.start, mutant.end)
    kind = item and item.child_by_field_name("return_type")
    return kind is not None and b"impl " in kind.text


def is_let_chain(source, mutant):
    """Whether the mutant is an operator between a `let` and a condition, where `||` does not compile."""
    node = source.node(mutant.start, mutant.end)
    around = parent_of(source, mutant.start, mutant.end, ("binary_expression", "let_chain"))
    if around is None or node.type not in ("&&", "||"):
        return False
    return around.type == "let_chain" or has(around, "let_condition")


def has(node, kind):
    return node.type == kind or any(has(child, kind) for child in node.children)


def unary(edits, source, start, end, group):
    node = parent_of(source, start, end, ("unary_expression",))
    if node is None or node.start_byte != start or len(group) != 1:
        return False
    operator = source.bytes[start:end].decode()
    number = group[0].number
    edits.wrap([number], node.start_byte, node.end_byte, "(match (",
               f") {{ __a => {choose([(number, '__a')], operator + '__a')} }})")
    edits.replace([number], start, end, "")
    return True


def guard(edits, source, start, end, group):
    forms = "".join(f"if {call(m.number)} {{ {m.replacement} }} else " for m in group)
    edits.wrap([m.number for m in group], start, end, f"({forms}{{ ", " })")
    return True


def arm(edits, source, start, end, group):
    node = parent_of(source, start, end, ("match_arm",))
    pattern = node and node.child_by_field_name("pattern")
    if pattern is None:
        return False
    number = group[0].number
    condition = pattern.child_by_field_name("condition")
    if condition is None:
        edits.closes.setdefault(pattern.end_byte, []).append(
            (0, [number], f" if !{call(number)} "))
    elif has(condition, "let_condition") or condition.type == "let_chain":
        return False
    else:
        edits.wrap([number], condition.start_byte, condition.end_byte, f"(!{call(number)} && (", "))")
    edits.ranges[number] = (start, end)
    edits.arms.add(number)
    return True


def field(edits, source, start, end, group):
    # The comma belongs to the mutant.
    node = parent_of(source, start, start + 1, ("field_initializer", "shorthand_field_initializer"))
    body = node and node.parent
    base = body and next((child for child in body.children if child.type == "base_field_initializer"), None)
    if base is None:
        return False
    number, base = group[0].number, base.children[-1].text.decode()
    if node.type == "shorthand_field_initializer":
        name = node.text.decode()
        edits.replace([number], node.start_byte, node.end_byte,
                      f"{name}: {choose([(number, f'({base}).{name}')], name)}")
        return True
    name = node.child_by_field_name("field").text.decode()
    value = node.child_by_field_name("value")
    edits.wrap([number], value.start_byte, value.end_byte,
               f"(if {call(number)} {{ ({base}).{name} }} else {{ ", " })")
    return True


OPERATORS = ("BinaryOperator", "UnaryOperator")
FORMS = {"FnValue": function_value, "BinaryOperator": binary, "UnaryOperator": unary, "MatchArmGuard": guard,
         "MatchArm": arm, "StructField": field}


def plain(source, mutant):
    """The file with this one mutant, without a switch."""
    text = source.bytes
    start, end = mutant.start, mutant.end
    if mutant.genre == "MatchArm":
        # The comma behind the arm too.
        node = parent_of(source, start, end, ("match_arm",))
        start, end = node.start_byte, node.end_byte
    return text[:start] + mutant.replacement.encode() + text[end:]
