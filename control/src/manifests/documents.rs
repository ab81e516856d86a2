//! Text → YAML documents. Each document is parsed on its own, so that a mistake in one does not hide the next.

use serde_json::Value;

/// A document's text and the number of lines of the file before it.
pub(super) struct Document<'a> {
    text: &'a str,
    lines_before: usize,
}

/// Above this a message counts lines from the document's beginning: padding each of many bad documents would take too long.
const MAX_PADDING: usize = 20_000;

/// Splits at `---` and `...` in the first column. YAML 1.2 forbids both there inside any scalar (`c-forbidden`), so a line scan
/// finds exactly the document markers.
///
/// What precedes the first `---` counts as a document only if it says something (not for comments and directives).
pub(super) fn split(text: &str) -> Vec<Document<'_>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut documents = Vec::new();
    let mut current = Span { start: 0, first_line: 0, explicit: false };
    let mut offset = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        if is_marker(line, "---") {
            current.close(text, offset, &mut documents);
            current = Span { start: offset, first_line: number, explicit: true };
        } else if is_marker(line, "...") {
            current.close(text, offset, &mut documents);
            current = Span { start: offset + line.len(), first_line: number + 1, explicit: false };
        }
        offset += line.len();
    }
    current.close(text, offset, &mut documents);
    documents
}

/// Parses one document; an empty one is null. The error says line and column in the file (if it is not very long).
pub(super) fn read(document: &Document<'_>) -> Result<Value, String> {
    parse(document.text).or_else(|_| {
        // Once more, behind as many empty lines as the file has before it, for the right line in the message.
        let lines = if document.lines_before <= MAX_PADDING { document.lines_before } else { 0 };
        let mut padded = "\n".repeat(lines);
        padded.push_str(document.text);
        parse(&padded).map_err(|error| format!("is not YAML that can be read: {error}"))
    })
}

fn parse(text: &str) -> Result<Value, serde_saphyr::Error> {
    // The default budgets stop alias bombs and endless nesting. Numbers that YAML 1.1 and 1.2 read differently stay text.
    let options = serde_saphyr::options! {
        with_snippet: false,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
    };
    serde_saphyr::from_str_with_options(text, options)
}

struct Span {
    start: usize,
    first_line: usize,
    explicit: bool,
}

impl Span {
    fn close<'a>(&self, text: &'a str, end: usize, documents: &mut Vec<Document<'a>>) {
        let text = &text[self.start..end];
        if self.explicit || text.lines().any(says_something) {
            documents.push(Document { text, lines_before: self.first_line });
        }
    }
}

fn is_marker(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

fn says_something(line: &str) -> bool {
    let trimmed = line.trim();
    !trimmed.is_empty() && !trimmed.starts_with('#') && !line.starts_with('%')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_what_stands_between_markers() {
        let rows: [(&str, &[&str]); 8] = [
            ("", &[]),
            ("# only a comment\n", &[]),
            ("a: 1\n", &[r#"{"a":1}"#]),
            ("# head\n---\na: 1\n---\nb: 2\n", &[r#"{"a":1}"#, r#"{"b":2}"#]),
            ("---\n---\na: 1\n", &["null", r#"{"a":1}"#]),
            ("a: 1\r\n---\r\nb: 2\r\n", &[r#"{"a":1}"#, r#"{"b":2}"#]),
            ("a: |\n  x\n  ---\n  y\n--- {b: 2}\n...\n# tail\n", &[r#"{"a":"x\n---\ny\n"}"#, r#"{"b":2}"#]),
            ("%YAML 1.2\n---\na: 010\n", &[r#"{"a":"010"}"#]),
        ];
        for (text, expected) in rows {
            let found: Vec<String> =
                split(text).iter().map(|document| read(document).expect(text).to_string()).collect();
            assert_eq!(found, expected, "{text:?}");
        }
    }

    #[test]
    fn an_error_names_the_line_of_the_file() {
        let documents = split("a: 1\n---\nb: [1\n");
        assert!(read(&documents[0]).is_ok());
        let error = read(&documents[1]).expect_err("an open bracket");
        assert!(error.contains("line 3"), "{error}");
    }

    #[test]
    fn an_alias_bomb_is_refused() {
        let mut text = String::from("l0: &l0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..9 {
            let below = format!("*l{}, ", level - 1).repeat(10);
            text.push_str(&format!("l{level}: &l{level} [{below}]\n"));
        }
        assert!(read(&split(&text)[0]).is_err());
        assert!(read(&split(&"[".repeat(100_000))[0]).is_err());
    }
}
