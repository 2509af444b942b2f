//! The form `module.function(argument, name=value)`, in which a whole call is one word.

/// A call as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// The function's name.
    pub function: String,
    /// Positional arguments.
    pub arguments: Vec<Part>,
    /// Keyword arguments in their order.
    pub keywords: Vec<(String, Part)>,
}

/// One argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its text, without the quotes.
    pub text: String,
    /// Whether quotes stood around some of it: then it is a text whatever it looks like.
    pub is_quoted: bool,
}

/// Reads the form. Commas and brackets in quotes or inner brackets belong to their argument, and a
/// backslash takes the next character as it is. None when it is not this form.
#[must_use]
pub fn parse(word: &str) -> Option<Form> {
    let (function, rest) = word.split_once('(')?;
    let function = function.trim();
    if function.is_empty() || function.contains(|c: char| c.is_whitespace() || "[]{})=,'\"".contains(c)) {
        return None;
    }
    let mut form = Form { function: function.to_owned(), arguments: Vec::new(), keywords: Vec::new() };
    let mut reader = Reader::default();
    let mut chars = rest.chars();
    loop {
        match (chars.next()?, reader.brackets.is_empty()) {
            (quote @ ('\'' | '"'), is_outside) => reader.quoted(quote, &mut chars, is_outside)?,
            ('\\', _) => reader.text.push(chars.next()?),
            (open @ ('(' | '[' | '{'), _) => reader.open(open),
            (end @ (',' | ')'), true) => {
                reader.finish(&mut form);
                if end == ')' {
                    return chars.as_str().trim().is_empty().then_some(form);
                }
            }
            (close @ (')' | ']' | '}'), _) => reader.close(close)?,
            ('=', true) if reader.name.is_none() => reader.take_name(),
            (c, _) => reader.text.push(c),
        }
    }
}

/// The argument that is being read.
#[derive(Default)]
struct Reader {
    name: Option<String>,
    text: String,
    is_quoted: bool,
    /// The closing brackets that are still to come.
    brackets: Vec<char>,
}

impl Reader {
    fn open(&mut self, open: char) {
        self.text.push(open);
        self.brackets.push(match open {
            '(' => ')',
            '[' => ']',
            _ => '}',
        });
    }

    fn close(&mut self, close: char) -> Option<()> {
        self.text.push(close);
        (self.brackets.pop()? == close).then_some(())
    }

    /// Inside of brackets the quotes stay: they are the list's or the map's.
    fn quoted(&mut self, quote: char, chars: &mut std::str::Chars<'_>, is_outside: bool) -> Option<()> {
        if is_outside {
            // Spaces before the quotes are no part of what they hold.
            self.text.truncate(if self.is_quoted { self.text.len() } else { self.text.trim_end().len() });
            self.is_quoted = true;
        } else {
            self.text.push(quote);
        }
        loop {
            match chars.next()? {
                c if c == quote => break,
                '\\' => {
                    let next = chars.next()?;
                    if !is_outside || !matches!(next, '\\' | '\'' | '"') {
                        self.text.push('\\');
                    }
                    self.text.push(next);
                }
                c => self.text.push(c),
            }
        }
        if !is_outside {
            self.text.push(quote);
        }
        Some(())
    }

    fn take_name(&mut self) {
        self.name = Some(std::mem::take(&mut self.text).trim().to_owned());
        self.is_quoted = false;
    }

    fn finish(&mut self, form: &mut Form) {
        let done = std::mem::take(self);
        let text = if done.is_quoted { done.text } else { done.text.trim().to_owned() };
        let part = Part { text, is_quoted: done.is_quoted };
        match done.name {
            Some(name) => form.keywords.push((name, part)),
            None if part.text.is_empty() && !part.is_quoted => {}
            None => form.arguments.push(part),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts of a form; those in quotes with a `'` in front.
    fn read(word: &str) -> Option<(String, Vec<String>, Vec<String>)> {
        let show = |part: &Part| format!("{}{}", if part.is_quoted { "'" } else { "" }, part.text);
        parse(word).map(|form| {
            (
                form.function.clone(),
                form.arguments.iter().map(show).collect(),
                form.keywords.iter().map(|(name, part)| format!("{name}={}", show(part))).collect(),
            )
        })
    }

    #[track_caller]
    fn check(word: &str, function: &str, arguments: &[&str], keywords: &[&str]) {
        let own = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        assert_eq!(read(word), Some((function.to_owned(), own(arguments), own(keywords))), "{word}");
    }

    #[test]
    fn forms() {
        check("test.ping()", "test.ping", &[], &[]);
        check("a.b(1, two words , k=v, l = x=y)", "a.b", &["1", "two words"], &["k=v", "l=x=y"]);
        check("a.b('x, y', \"it's\", k='1')", "a.b", &["'x, y", "'it's"], &["k='1"]);
        check(r#"a.b("a \" b", 'c\d', e\,f)"#, "a.b", &["'a \" b", "'c\\d", "e,f"], &[]);
        check("a.b({x: [1, 2], 'y': ')'}, [])", "a.b", &["{x: [1, 2], 'y': ')'}", "[]"], &[]);
        check("a.b('', , k=)", "a.b", &["'"], &["k="]);
    }

    #[test]
    fn what_is_none() {
        for word in [
            "",
            "a.b",
            "(a)",
            "a.b(",
            "a.b(1",
            "a.b(1]",
            "a.b([1)]",
            "a.b(1) x",
            "a.b('x)",
            "a.b[1]",
            "foo bar, some=text",
            "x=a.b(1)",
            "a.b(\\",
        ] {
            assert_eq!(read(word), None, "{word}");
        }
    }
}
