//! Questions to the operator, as salt-key asks them.

use std::io::{self, BufRead, Write};

/// What an operator said to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Go on.
    Yes,
    /// Leave everything as it is.
    No,
    /// The input ended before an answer: nobody is there, so it is a no and a failure.
    NoInput,
}

/// Asks `Proceed? [n/Y] ` (or `[N/y]`): Enter takes the capital letter, a word that begins with
/// the other one takes that. Anything else is a no.
///
/// # Errors
/// The question cannot be written or the answer not read.
pub fn proceed(input: &mut impl BufRead, output: &mut impl Write, default_yes: bool) -> io::Result<Answer> {
    write!(output, "Proceed? {} ", if default_yes { "[n/Y]" } else { "[N/y]" })?;
    output.flush()?;
    let mut line = String::new();
    if input.read_line(&mut line)? == 0 {
        writeln!(output)?;
        return Ok(Answer::NoInput);
    }
    let word = line.trim().to_ascii_lowercase();
    Ok(match word.as_str() {
        "" if default_yes => Answer::Yes,
        "y" | "yes" => Answer::Yes,
        _ => Answer::No,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, default_yes: bool, expected: Answer) {
        let mut shown = Vec::new();
        let answer = proceed(&mut input.as_bytes(), &mut shown, default_yes).expect("memory does not fail");
        assert_eq!(answer, expected, "{input:?}");
        let prompt = if default_yes { "Proceed? [n/Y] " } else { "Proceed? [N/y] " };
        assert!(shown.starts_with(prompt.as_bytes()));
    }

    #[test]
    fn answers() {
        check("\n", true, Answer::Yes);
        check("\n", false, Answer::No);
        for yes in ["y\n", "Y\n", "yes\n", " Yes \r\n", "y"] {
            check(yes, true, Answer::Yes);
            check(yes, false, Answer::Yes);
        }
        for no in ["n\n", "no\n", "N\n", "what\n", "yep, no\n"] {
            check(no, true, Answer::No);
            check(no, false, Answer::No);
        }
        check("", true, Answer::NoInput);
        check("", false, Answer::NoInput);
    }
}
