//! One rule's method, path and host as one expression over `METHOD NUL PATH NUL HOST`.
//!
//! The concatenation means exactly what three separate full matches mean, for these reasons:
//! * Each expression is parsed alone, and put together as syntax trees. `a)|(b` is an error, not a way out of a group.
//! * A head with a NUL is refused, so the input has exactly two of them. And every byte class of an expression is cut
//!   down to the visible ASCII that a field can hold, so that no expression reaches over a NUL.
//! * `^`, `$`, `\A` and `\z` mean the ends of the field. They become multi-line anchors of an automaton whose line
//!   terminator is NUL ([`line_ends`]); since a field has no line feed, `(?m)` makes no difference.
//! * `\b` next to a NUL is what it is at the ends of a text, since NUL is no word byte.
//!
//! Policies are written for RE2 (Envoy's `safe_regex`, Go). What only this crate's parser knows is an error, lest it mean
//! something else there: set operations and nested classes in `[...]`, `\<`, `\b{start}`.

use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::util::look::LookMatcher;
use regex_syntax::{
    ast,
    hir::{self, Class, ClassBytes, ClassBytesRange, Hir, HirKind, Look, Repetition},
};
use weir_model::policy::HttpRule;

use super::RuleError;

/// Bytes of the automaton (Thompson NFA) of one expression. Measured: `/api/v[0-9]+/.*` takes 820, an alternation of a
/// hundred words 6 KiB, `(a{100}){100}` 240 KiB.
const PATTERN_SIZE: usize = 64 << 10;

/// The separator.
pub(super) const SEPARATOR: u8 = 0;

/// The expression of a rule, anchored at both ends.
pub(super) fn compile(rule: &HttpRule) -> Result<Hir, RuleError> {
    let field = |name: &str, pattern: &Option<String>| match pattern {
        None => Ok(anything()),
        Some(pattern) => parse(pattern).map_err(|reason| RuleError { field: name.into(), reason }),
    };
    Ok(Hir::concat(vec![
        Hir::look(Look::Start),
        field("method", &rule.method)?,
        Hir::literal([SEPARATOR]),
        field("path", &rule.path)?,
        Hir::literal([SEPARATOR]),
        field("host", &rule.host)?,
        Hir::look(Look::End),
    ]))
}

/// How the automata read the anchors that [`compile`] writes.
pub(super) fn line_ends() -> LookMatcher {
    let mut matcher = LookMatcher::new();
    matcher.set_line_terminator(SEPARATOR);
    matcher
}

/// What all automata here have in common.
pub(super) fn thompson(size_limit: usize) -> thompson::Compiler {
    let mut compiler = thompson::Compiler::new();
    compiler.configure(
        thompson::Config::new()
            .utf8(false)
            .look_matcher(line_ends())
            .which_captures(WhichCaptures::None)
            .nfa_size_limit(Some(size_limit)),
    );
    compiler
}

fn visible() -> ClassBytes {
    ClassBytes::new([ClassBytesRange::new(0x21, 0x7e)])
}

fn anything() -> Hir {
    Hir::repetition(Repetition { min: 0, max: None, greedy: true, sub: Box::new(Hir::class(Class::Bytes(visible()))) })
}

fn parse(pattern: &str) -> Result<Hir, String> {
    let quoted = Quoted(pattern);
    let ast = ast::parse::Parser::new().parse(pattern).map_err(|error| format!("{quoted}: {}", error.kind()))?;
    ast::visit(&ast, Re2Only).map_err(|reason| format!("{quoted}: {reason}"))?;
    let mut translator = hir::translate::TranslatorBuilder::new().unicode(false).utf8(false).build();
    let hir = translator.translate(pattern, &ast).map_err(|error| format!("{quoted}: {}", error.kind()))?;
    let hir = in_field(&hir).map_err(|reason| format!("{quoted}: {reason}"))?;
    thompson(PATTERN_SIZE).build_from_hir(&hir).map_err(|_| {
        let length = pattern.len();
        format!(
            "{quoted} ({length} bytes) needs an automaton of more than {PATTERN_SIZE} bytes; is a repetition too large?"
        )
    })?;
    Ok(hir)
}

/// Rewrites a stand-alone expression into one for a field between separators.
fn in_field(hir: &Hir) -> Result<Hir, &'static str> {
    let all = |parts: &[Hir]| parts.iter().map(in_field).collect::<Result<Vec<Hir>, _>>();
    Ok(match hir.kind() {
        HirKind::Empty => Hir::empty(),
        HirKind::Literal(literal) if literal.0.iter().all(|byte| matches!(byte, 0x21..=0x7e)) => hir.clone(),
        HirKind::Literal(_) => Hir::fail(),
        HirKind::Class(class) => Hir::class(Class::Bytes(in_visible(class))),
        HirKind::Look(look) => Hir::look(match look {
            Look::Start | Look::StartLF | Look::StartCRLF => Look::StartLF,
            Look::End | Look::EndLF | Look::EndCRLF => Look::EndLF,
            Look::WordAscii | Look::WordAsciiNegate => *look,
            _ => return Err("only \\b and \\B of ASCII are supported as word boundaries"),
        }),
        HirKind::Repetition(repetition) => Hir::repetition(repetition.with(in_field(&repetition.sub)?)),
        HirKind::Capture(capture) => in_field(&capture.sub)?,
        HirKind::Concat(parts) => Hir::concat(all(parts)?),
        HirKind::Alternation(parts) => Hir::alternation(all(parts)?),
    })
}

/// The visible ASCII bytes of a class.
fn in_visible(class: &Class) -> ClassBytes {
    let mut bytes = match class {
        Class::Bytes(bytes) => bytes.clone(),
        Class::Unicode(characters) => ClassBytes::new(characters.iter().filter_map(|range| {
            let end = u8::try_from(range.end()).unwrap_or(u8::MAX);
            Some(ClassBytesRange::new(u8::try_from(range.start()).ok()?, end))
        })),
    };
    bytes.intersect(&visible());
    bytes
}

/// Finds what RE2 reads differently.
struct Re2Only;

impl ast::Visitor for Re2Only {
    type Output = ();
    type Err = &'static str;

    fn finish(self) -> Result<(), Self::Err> {
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ast::ClassSetItem) -> Result<(), Self::Err> {
        match item {
            ast::ClassSetItem::Bracketed(_) => {
                Err("a class inside a class is not supported; write `\\[` for a bracket")
            }
            _ => Ok(()),
        }
    }

    fn visit_class_set_binary_op_pre(&mut self, _: &ast::ClassSetBinaryOp) -> Result<(), Self::Err> {
        Err("set operations in a class are not supported; write `\\&`, `\\-` or `\\~`")
    }
}

/// A pattern for messages, shortened.
struct Quoted<'a>(&'a str);

impl std::fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const SHOWN: usize = 80;
        match self.0.char_indices().nth(SHOWN) {
            Some((end, _)) => write!(f, "{:?}…", &self.0[..end]),
            None => write!(f, "{:?}", self.0),
        }
    }
}
